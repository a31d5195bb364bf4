# The native tools of go1.26.8 for linux/arm64, made by mabuild.
FROM --platform=linux/amd64 golang:1.26 AS native
FROM --platform=linux/arm64 golang:1.26 AS base

FROM native AS made
USER root
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    ["/run/mabuild/program/mabuild", "toolbox", "layout", "--suite", "go1.26.8", "--host", "amd64", "--target", "arm64", "--base", "/run/mabuild/base", "/toolbox"]

FROM scratch
COPY --from=made /toolbox /
