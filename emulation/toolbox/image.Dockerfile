# The native tools of {{.Suite}} for {{.Platform}}, made by mabuild.
FROM --platform={{.HostPlatform}} {{.Base}} AS native
FROM --platform={{.Platform}} {{.Base}} AS base

FROM native AS made
USER root
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    ["/run/mabuild/program/mabuild", "toolbox", "layout", "--suite", "{{.Suite}}", "--host", "{{.Host}}", "--target", "{{.Target}}", "--base", "/run/mabuild/base"{{if .OptIn}}, "--opt-in"{{end}}, "/toolbox"]

FROM scratch
COPY --from=made /toolbox /
