package parity

import "strings"

func stepCases() []Case {
	files := []string{"files {OUT}"}
	// step is a Dockerfile whose step writes what a command prints. The step of one
	// program is not that of the other: what is not part of a step's cache key, like a
	// secret, would have no effect.
	step := func(command string, flags ...string) map[string]string {
		return with("FROM busybox AS b\nARG ARG\nARG OTHER=default\nRUN " + strings.Join(flags, " ") +
			" : {RUN} && { " + command + "; } > /out\nFROM scratch\nCOPY --from=b /out /\n")
	}
	args := step("echo $ARG $OTHER")
	return []Case{
		{Args: "-o {OUT} --build-arg ARG=value .", Files: args, Look: files},
		{Args: "-o {OUT} --build-arg=ARG --build-arg OTHER= .", Env: []string{"ARG=environment"}, Files: args, Look: files},
		{Args: "-o {OUT} --build-arg ARG=1 --build-arg ARG=2=3 .", Files: args, Look: files},
		{Args: "-t {REF} --push --build-arg ARG=unused .", Files: with(small), Look: []string{"image {REF}"}},
		// Case 45: SOURCE_DATE_EPOCH.
		{Args: "-t {REF} --push .", Env: []string{"SOURCE_DATE_EPOCH=1700000000"}, Files: with(small), Look: []string{"image {REF}"}, Times: true},
		{Args: "-t {REF} --push --build-arg SOURCE_DATE_EPOCH=1600000000 .", Env: []string{"SOURCE_DATE_EPOCH=1700000000"}, Files: with(small), Look: []string{"image {REF}"}, Times: true},
		{Args: "-o {OUT} .", Env: []string{"SOURCE_DATE_EPOCH=1700000000"}, Files: with(scratch), Look: files, Times: true},
		{Args: "-o {OUT} --build-arg http_proxy=http://proxy.example .", Files: step("echo $http_proxy $HTTP_PROXY $no_proxy"), Look: files},
		{Note: "proxies of the docker configuration", Args: "-o {OUT} .", Env: []string{"DOCKER_CONFIG=config"}, Files: merge(step("echo $http_proxy $HTTPS_PROXY $no_proxy $all_proxy"), proxies), Look: files},
		{Note: "proxies of the environment", Args: "-o {OUT} .", Env: []string{"http_proxy=http://proxy.example", "HTTPS_PROXY=http://proxy.example"}, Files: step("echo $http_proxy $HTTPS_PROXY"), Look: files},
		{Args: "-o {OUT} --secret id=s,src=secret.txt .", Files: merge(with("", "secret.txt", "hidden"), step("cat /run/secrets/s", "--mount=type=secret,id=s")), Look: files},
		{Args: "-o {OUT} --secret id=s,env=SECRET .", Env: []string{"SECRET=hidden"}, Files: step("echo $S", "--mount=type=secret,id=s,env=S"), Look: files},
		{Args: "-o {OUT} --secret id=SECRET .", Env: []string{"SECRET=hidden"}, Files: step("cat /run/secrets/SECRET", "--mount=type=secret,id=SECRET"), Look: files},
		{Args: "-o {OUT} --secret type=file,id=s,source=secret.txt .", Files: merge(with("", "secret.txt", "hidden"), step("ls -n /run/secrets/s | cut -c1-22", "--mount=type=secret,id=s,uid=7")), Look: files},
		// Case 44: secrets that are not given.
		{Note: "a secret that is not given", Args: "-o {OUT} .", Files: step("ls /run/secrets", "--mount=type=secret,id=s"), Fails: 1, Look: files},
		{Note: "a required secret that is not given", Args: "-o {OUT} .", Files: step("cat /run/secrets/s", "--mount=type=secret,id=s,required=true"), Fails: 1, Look: files},
		{Args: "-o {OUT} --ssh default=key.pem .", Files: merge(with("", "key.pem", "{KEY}"), step("test -S $SSH_AUTH_SOCK && echo agent", "--mount=type=ssh")), Look: files},
		{Args: "-o {OUT} --ssh default --ssh own={AGENT} .", Env: []string{"SSH_AUTH_SOCK={AGENT}"}, Files: step("test -S /own -a -S $SSH_AUTH_SOCK && echo agents", "--mount=type=ssh", "--mount=type=ssh,id=own,target=/own"), Look: files},
		{Args: "-o {OUT} --add-host build.example:192.0.2.7 --add-host=six.example=[2001:db8::1] .", Files: step("grep example /etc/hosts"), Look: files},
		{Args: "-o {OUT} --network none .", Files: step("tail -n +3 /proc/net/dev | wc -l"), Look: files},
		{Args: "-o {OUT} --network default .", Files: step("grep -c lo: /proc/net/dev"), Look: files},
		{Args: "-o {OUT} --network host --allow network.host .", Files: step("grep -c lo: /proc/net/dev"), Look: files},
		{Args: "-o {OUT} --allow network.host .", Files: step("grep -c lo: /proc/net/dev", "--network=host"), Look: files},
		{Args: "-o {OUT} --allow=security.insecure .", Files: step("grep CapEff /proc/self/status", "--security=insecure"), Look: files},
		{Note: "the network of the host without being allowed to", Args: "-o {OUT} .", Files: step("grep -c lo: /proc/net/dev", "--network=host"), Fails: 1, Look: files},
		{Args: "-o {OUT} --shm-size 3m .", Files: step("df -k /dev/shm | tail -n 1 | awk '{print $2}'"), Look: files},
		{Args: "-o {OUT} --shm-size=2097152 .", Files: step("df -k /dev/shm | tail -n 1 | awk '{print $2}'"), Look: files},
		{Args: "-o {OUT} --ulimit nofile=1000:2000 --ulimit=core=0 .", Files: step("sh -c 'ulimit -n; ulimit -Hn; ulimit -c'"), Look: files},
		{Args: "-o {OUT} --cgroup-parent parity .", Files: step("grep -c /parity/ /proc/self/cgroup || true"), Look: files},
		{Args: "-o {OUT} --resource memory=200m --resource cpu-quota=50000 .", Files: step("cat /sys/fs/cgroup/memory.max /sys/fs/cgroup/cpu.max /sys/fs/cgroup/memory/memory.limit_in_bytes 2>/dev/null; true"), Look: files},
		{Args: "-o {OUT} --pull .", Files: step("echo pulled"), Look: files},
	}
}

// proxies is a configuration of docker's with a proxy.
var proxies = map[string]string{"config/config.json": `{"proxies":{"default":{"httpProxy":"http://proxy.example:1","httpsProxy":"http://proxy.example:2","noProxy":"local.example","allProxy":"socks5://proxy.example"}}}`}

// merge joins files; the last of a name counts.
func merge(all ...map[string]string) map[string]string {
	files := make(map[string]string)
	for _, some := range all {
		for name, text := range some {
			files[name] = text
		}
	}
	return files
}
