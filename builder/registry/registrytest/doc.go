// Package registrytest has registries for tests, and a faulty network in front
// of them.
//
// A [Proxy] is a server on a port of the loopback that passes requests on to a
// registry in the same process, keeps a log of them, and misbehaves as its rules
// say:
//
//	proxy := registrytest.New(t, registrytest.Memory())
//	proxy.Add(registrytest.Rule{
//		Method: "PUT", Path: registrytest.Manifests, Times: 2,
//		Fault: registrytest.Status(429, "", "Retry-After", "1"),
//	})
//	// … push to proxy.Host() …
//	if got := proxy.Count("PUT", "/manifests/latest$"); got != 3 {
//
// Two real registries are at hand: [Memory] is go-containerregistry's, which is
// fast, and [Distribution] is the one that most people run. [Tokens] and [Basic]
// ask for credentials. [Lag] shows late what was written. [Clock] makes waiting
// take no time.
package registrytest
