# The native tools of {{.Suite}} for {{.Platform}}, made by mabuild.
FROM --platform={{.HostPlatform}} {{.Base}} AS native
FROM --platform={{.Platform}} {{.Base}} AS base

FROM native AS made
USER root
ENV DEBIAN_FRONTEND=noninteractive LC_ALL=C.UTF-8
# What cannot be had is left out, and the toolbox says so.
RUN <<'END'
set -u{{if .Fresh}} # {{.Fresh}}{{end}}
apt="apt-get --quiet=2 -oAPT::Sandbox::User=root -oAcquire::Retries=2"
dpkg --add-architecture {{.Target}}
{{- if .Ports}}
sed -i -E 's/^deb (\[[^]]*\] )?http/deb [arch={{.Host}}] http/' /etc/apt/sources.list 2>/dev/null
sed -i -E '/^Types: deb/a Architectures: {{.Host}}' /etc/apt/sources.list.d/*.sources 2>/dev/null
for pocket in {{.Release}} {{.Release}}-updates {{.Release}}-security; do
	echo "deb [arch={{.Target}} signed-by=/usr/share/keyrings/ubuntu-archive-keyring.gpg] {{.Ports}} $pocket main universe"
done >/etc/apt/sources.list.d/mabuild.list
{{- end}}
$apt update || echo "not everything could be updated"
native="{{join .Native}}"
$apt install -y --no-install-recommends $native >/dev/null ||
	for package in $native; do
		$apt install -y --no-install-recommends $package >/dev/null || echo "left out: $package"
	done
mkdir /packages && cd /packages
target="{{join .Packages}}"
$apt download $target ||
	for package in $target; do
		$apt download $package || echo "left out: $package"
	done
true
END
RUN --mount=from=base,target=/run/mabuild/base --mount=from=mabuild,target=/run/mabuild/program \
    /run/mabuild/program/mabuild toolbox layout --suite {{.Suite}} --host {{.Host}} --target {{.Target}} \
    --base /run/mabuild/base --packages /packages --fetch{{if .OptIn}} --opt-in{{end}}{{range .Expected}} --expect {{.}}{{end}} /toolbox

FROM scratch
COPY --from=made /toolbox /
