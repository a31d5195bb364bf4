# The native tools of bookworm for linux/arm/v6, made by mabuild.
FROM --platform=linux/amd64 debian:bookworm-slim AS native
FROM --platform=linux/arm/v6 debian:bookworm-slim AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture armel
$apt update || echo "not everything could be updated"
native="binutils-arm-linux-gnueabi cpp-12-arm-linux-gnueabi gcc-12-arm-linux-gnueabi g++-12-arm-linux-gnueabi bzip2 coreutils dash diffutils dpkg findutils grep gzip mawk sed tar xz-utils zstd"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="binutils-arm-linux-gnueabi:armel cpp-12:armel gcc-12:armel g++-12:armel bzip2:armel coreutils:armel dash:armel diffutils:armel dpkg:armel findutils:armel grep:armel gzip:armel mawk:armel sed:armel tar:armel xz-utils:armel zstd:armel"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite bookworm --host amd64 --target armel \
    --base /run/mabuild/base --packages /packages --fetch --expect binutils-arm-linux-gnueabi --expect cpp-12 --expect gcc-12 --expect g++-12 --expect bzip2 --expect coreutils --expect dash --expect diffutils --expect dpkg --expect findutils --expect grep --expect gzip --expect mawk --expect sed --expect tar --expect xz-utils --expect zstd /toolbox

FROM scratch
COPY --from=made /toolbox /
