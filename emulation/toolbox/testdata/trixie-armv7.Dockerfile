# The native tools of trixie for linux/arm/v7, made by mabuild.
FROM --platform=linux/amd64 debian:trixie-slim AS native
FROM --platform=linux/arm/v7 debian:trixie-slim AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture armhf
$apt update || echo "not everything could be updated"
native="binutils-arm-linux-gnueabihf cpp-14-arm-linux-gnueabihf gcc-14-arm-linux-gnueabihf g++-14-arm-linux-gnueabihf bzip2 coreutils dash diffutils dpkg findutils grep gzip sed tar xz-utils zstd"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="binutils-arm-linux-gnueabihf:armhf cpp-14-arm-linux-gnueabihf:armhf gcc-14-arm-linux-gnueabihf:armhf g++-14-arm-linux-gnueabihf:armhf bzip2:armhf coreutils:armhf dash:armhf diffutils:armhf dpkg:armhf findutils:armhf grep:armhf gzip:armhf sed:armhf tar:armhf xz-utils:armhf zstd:armhf"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite trixie --host amd64 --target armhf \
    --base /run/mabuild/base --packages /packages --fetch --expect binutils-arm-linux-gnueabihf --expect cpp-14-arm-linux-gnueabihf --expect gcc-14-arm-linux-gnueabihf --expect g++-14-arm-linux-gnueabihf --expect bzip2 --expect coreutils --expect dash --expect diffutils --expect dpkg --expect findutils --expect grep --expect gzip --expect sed --expect tar --expect xz-utils --expect zstd /toolbox

FROM scratch
COPY --from=made /toolbox /
