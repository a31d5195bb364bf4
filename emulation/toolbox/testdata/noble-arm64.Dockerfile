# The native tools of noble for linux/arm64, made by mabuild.
FROM --platform=linux/amd64 ubuntu:24.04 AS native
FROM --platform=linux/arm64 ubuntu:24.04 AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u # 2026-07-01
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture arm64
sed -i -E 's/^deb (\[[^]]*\] )?http/deb [arch=amd64] http/' /etc/apt/sources.list 2>/dev/null
sed -i -E '/^Types: deb/a Architectures: amd64' /etc/apt/sources.list.d/*.sources 2>/dev/null
for pocket in noble noble-updates noble-security; do
	echo "deb [arch=arm64 signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] http://ports.ubuntu.com/ubuntu-ports $pocket main universe"
done >/etc/apt/sources.list.d/mabuild.list
$apt update || echo "not everything could be updated"
native="binutils-aarch64-linux-gnu cpp-13-aarch64-linux-gnu gcc-13-aarch64-linux-gnu g++-13-aarch64-linux-gnu bzip2 coreutils dash diffutils dpkg findutils grep gzip sed tar xz-utils zstd nodejs openssl python3.12-minimal"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="binutils-aarch64-linux-gnu:arm64 cpp-13-aarch64-linux-gnu:arm64 gcc-13-aarch64-linux-gnu:arm64 g++-13-aarch64-linux-gnu:arm64 bzip2:arm64 coreutils:arm64 dash:arm64 diffutils:arm64 dpkg:arm64 findutils:arm64 grep:arm64 gzip:arm64 sed:arm64 tar:arm64 xz-utils:arm64 zstd:arm64 nodejs:arm64 openssl:arm64 python3.12-minimal:arm64"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite noble --host amd64 --target arm64 \
    --base /run/mabuild/base --packages /packages --fetch --opt-in --expect binutils-aarch64-linux-gnu --expect cpp-13-aarch64-linux-gnu --expect gcc-13-aarch64-linux-gnu --expect g++-13-aarch64-linux-gnu --expect bzip2 --expect coreutils --expect dash --expect diffutils --expect dpkg --expect findutils --expect grep --expect gzip --expect sed --expect tar --expect xz-utils --expect zstd --expect nodejs --expect openssl --expect python3.12-minimal /toolbox

FROM scratch
COPY --from=made /toolbox /
