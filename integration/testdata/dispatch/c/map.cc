#include <iostream>
#include <map>
#include <string>
#include <vector>

template <typename T> T twice(const T &x) { return x + x; }

int main()
{
	std::map<std::string, int> ages{{"ann", 41}, {"bob", 17}};
	std::vector<double> thirds;

	for (const auto &[name, age] : ages) {
		thirds.push_back(age / 3.0);
		std::cout << twice(name) << ' ' << twice(age) << '\n';
	}
	try {
		std::cout << thirds.at(7) << '\n';
	} catch (const std::exception &e) {
		std::cout << e.what() << '\n';
	}
}
