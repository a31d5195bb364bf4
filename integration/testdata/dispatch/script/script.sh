#!/bin/sh
# What installers and builds do: text, files, archives and checksums.
set -eu
umask 022
mkdir -p tree/deep/er
trap 'echo bye > left.txt' EXIT

i=0
while [ $i -lt 20 ]; do
	i=$((i + 1))
	printf '%s %03d %x\n' "line $i" $((i * 7 % 11)) $((i << 33)) >> lines.txt
done
tr a-z A-Z < lines.txt | cut -d' ' -f2,3 | head -n 15 | tail -n 9 > cut.txt
sed -n 's/^line \([0-9]*\) 0*\([0-9]\)/\2:\1/p' lines.txt | tee sed.txt | uniq | wc -lc > count.txt
grep -En '(1|2)[0-9] 00[5-9]' lines.txt > grep.txt
awk '{sum += $3; if (length($4) > 10) long++} END {printf "%d %d %.4f\n", sum, long, sum / 3}' lines.txt > awk.txt
paste -d, cut.txt sed.txt > pasted.txt
comm -12 lines.txt lines.txt > same.txt
cmp lines.txt same.txt
diff cut.txt sed.txt > differences.txt || test $? = 1
: "${UNSET:=default}"
case $UNSET in d*t) echo "${UNSET%ault} ${#UNSET} $(expr abc : 'a\(.\)')" > expansions.txt ;; esac

install -m 750 lines.txt tree/deep/installed
cp -p tree/deep/installed tree/deep/er/copy
ln -s ../lines.txt tree/link
ln tree/deep/installed tree/hard
mv cut.txt tree/moved
chmod u=rw,go= tree/moved
chown 12:34 tree/moved
touch -d @1700000000 tree/moved
readlink -f tree/link > links.txt
realpath tree/deep/../link >> links.txt
basename /a/b.c .c >> links.txt
dirname /a/b.c >> links.txt
find tree -type f -size -9 | LC_ALL=C sort > found.txt
find tree -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum > sums.txt
md5sum lines.txt >> sums.txt
cksum lines.txt >> sums.txt
sha256sum -c --quiet sums.txt 2> /dev/null || echo "not all are of SHA-256" >> sums.txt
base64 lines.txt > lines.b64
temporary=$(mktemp)
rm "$temporary"
tar --sort=name --mtime=@1700000000 -cf tree.tar tree
gzip -9nk tree.tar
mkdir again
tar -C again -xzf tree.tar.gz
test "$(cat again/tree/deep/er/copy)" = "$(cat lines.txt)"
ls -l --time-style=+ again/tree > listed.txt
cat <<-END | env -i /bin/sh > child.txt
	echo "\$#" "\$(echo nested | sed s/n/N/)" $(uname -m)
END
(exit 3) || echo "status $?" >> child.txt
