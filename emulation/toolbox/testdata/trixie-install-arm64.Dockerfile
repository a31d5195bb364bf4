# The native tools of trixie-install for linux/arm64, made by mabuild.
FROM --platform=linux/amd64 debian:trixie-slim AS native
FROM --platform=linux/arm64 debian:trixie-slim AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u # 2026-07-01
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture arm64
$apt update || echo "not everything could be updated"
native="binutils-aarch64-linux-gnu cpp-14-aarch64-linux-gnu gcc-14-aarch64-linux-gnu g++-14-aarch64-linux-gnu"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="binutils-aarch64-linux-gnu:arm64 cpp-14-aarch64-linux-gnu:arm64 gcc-14-aarch64-linux-gnu:arm64 g++-14-aarch64-linux-gnu:arm64"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite trixie-install --host amd64 --target arm64 \
    --base /run/mabuild/base --packages /packages --fetch --expect binutils-aarch64-linux-gnu --expect cpp-14-aarch64-linux-gnu --expect gcc-14-aarch64-linux-gnu --expect g++-14-aarch64-linux-gnu /toolbox

FROM scratch
COPY --from=made /toolbox /
