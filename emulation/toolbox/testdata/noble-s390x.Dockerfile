# The native tools of noble for linux/s390x, made by mabuild.
FROM --platform=linux/amd64 ubuntu:24.04 AS native
FROM --platform=linux/s390x ubuntu:24.04 AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u # 2026-07-01
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture s390x
sed -i -E 's/^deb (\[[^]]*\] )?http/deb [arch=amd64] http/' /etc/apt/sources.list 2>/dev/null
sed -i -E '/^Types: deb/a Architectures: amd64' /etc/apt/sources.list.d/*.sources 2>/dev/null
for pocket in noble noble-updates noble-security; do
	echo "deb [arch=s390x signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://ports.ubuntu.com/ubuntu-ports $pocket main universe"
done >/etc/apt/sources.list.d/mabuild.list
$apt update || echo "not everything could be updated"
native="binutils-s390x-linux-gnu cpp-13-s390x-linux-gnu gcc-13-s390x-linux-gnu g++-13-s390x-linux-gnu bzip2 coreutils dash diffutils dpkg findutils grep gzip mawk sed tar xz-utils zstd openssl"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="binutils-s390x-linux-gnu:s390x cpp-13-s390x-linux-gnu:s390x gcc-13-s390x-linux-gnu:s390x g++-13-s390x-linux-gnu:s390x bzip2:s390x coreutils:s390x dash:s390x diffutils:s390x dpkg:s390x findutils:s390x grep:s390x gzip:s390x mawk:s390x sed:s390x tar:s390x xz-utils:s390x zstd:s390x openssl:s390x"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite noble --host amd64 --target s390x \
    --base /run/mabuild/base --packages /packages --fetch --expect binutils-s390x-linux-gnu --expect cpp-13-s390x-linux-gnu --expect gcc-13-s390x-linux-gnu --expect g++-13-s390x-linux-gnu --expect bzip2 --expect coreutils --expect dash --expect diffutils --expect dpkg --expect findutils --expect grep --expect gzip --expect mawk --expect sed --expect tar --expect xz-utils --expect zstd --expect openssl /toolbox

FROM scratch
COPY --from=made /toolbox /
