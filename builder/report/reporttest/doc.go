// Package reporttest opens pages in a headless Chromium, for tests that click.
//
//	page := reporttest.Open(t, "build.html")
//	page.Click(`[data-step="3"]`)
//	if text := page.Text("#panel"); !strings.Contains(text, "RUN make") { … }
//
// It talks to the browser over a pipe (Chromium's --remote-debugging-pipe) in the
// protocol of its developer tools, https://chromedevtools.github.io/devtools-protocol.
// Input is real input: a click hits whatever is on top at that place. Whatever the page
// complains about, such as an exception or a violation of its security policy, and
// every request but that for the page fails the test.
//
// Chromium comes from PATH. Without one the test is skipped, but with CI set in the
// environment it fails.
package reporttest
