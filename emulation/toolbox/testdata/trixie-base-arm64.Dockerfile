# The native tools of trixie-base for linux/arm64, made by mabuild.
FROM --platform=linux/amd64 debian:trixie@sha256:0000000000000000000000000000000000000000000000000000000000000000 AS native
FROM --platform=linux/arm64 debian:trixie@sha256:0000000000000000000000000000000000000000000000000000000000000000 AS base

FROM native AS made
USER root
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    ["/run/mabuild/program/mabuild", "toolbox", "layout", "--suite", "trixie-base", "--host", "amd64", "--target", "arm64", "--base", "/run/mabuild/base", "/toolbox"]

FROM scratch
COPY --from=made /toolbox /
