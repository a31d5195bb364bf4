package reporttest

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// Page is an open page.
type Page struct {
	t       testing.TB
	pipe    *pipe
	session string

	loaded chan struct{} // has one for every load

	mu       sync.Mutex
	problems []string
	requests []string
}

// Options of a page.
type Options struct {
	Width, Height int    // Default: 1280 by 800.
	Dark          bool   // what the user prefers
	Fragment      string // of the address, as in step=3
}

// Open opens a file. The browser ends with the test.
func Open(t testing.TB, path string, opts Options) *Page {
	t.Helper()
	if opts.Width == 0 {
		opts.Width, opts.Height = 1280, 800
	}
	absolute, err := filepath.Abs(path)
	if err != nil {
		t.Fatal(err)
	}
	p := &Page{t: t, loaded: make(chan struct{}, 1)}
	p.start()
	var target struct {
		TargetID string `json:"targetId"`
	}
	var attached struct {
		SessionID string `json:"sessionId"`
	}
	p.must(p.pipe.call("", "Target.createTarget", map[string]any{"url": "about:blank"}, &target))
	p.must(p.pipe.call("", "Target.attachToTarget", map[string]any{"targetId": target.TargetID, "flatten": true}, &attached))
	p.session = attached.SessionID
	scheme := "light"
	if opts.Dark {
		scheme = "dark"
	}
	p.Call("Emulation.setEmulatedMedia", map[string]any{"features": []any{map[string]any{"name": "prefers-color-scheme", "value": scheme}}}, nil)
	p.Resize(opts.Width, opts.Height)
	for _, domain := range []string{"Page", "Runtime", "Log", "Network"} {
		p.Call(domain+".enable", map[string]any{}, nil)
	}
	address := url.URL{Scheme: "file", Path: absolute, Fragment: opts.Fragment}
	p.Call("Page.navigate", map[string]any{"url": address.String()}, nil)
	p.wait()
	t.Cleanup(func() { p.check(address.String()) })
	return p
}

// wait waits for the page.
func (p *Page) wait() {
	p.t.Helper()
	select {
	case <-p.loaded:
	case <-time.After(time.Minute):
		p.t.Fatal("the page is not loaded after a minute")
	}
}

// Reload loads the page again.
func (p *Page) Reload() {
	p.t.Helper()
	p.Call("Page.reload", map[string]any{}, nil)
	p.wait()
}

// Resize changes the size of the window.
func (p *Page) Resize(width, height int) {
	p.t.Helper()
	p.Call("Emulation.setDeviceMetricsOverride", map[string]any{"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false}, nil)
}

// find returns the browser.
func find(t testing.TB) string {
	t.Helper()
	for _, name := range []string{"chromium", "chromium-browser", "google-chrome", "chrome-headless-shell"} {
		if path, err := exec.LookPath(name); err == nil {
			return path
		}
	}
	if os.Getenv("CI") != "" {
		t.Fatal("chromium is missing, and in CI this test must run: make setup")
	}
	t.Skip("chromium is missing: make setup installs it")
	return ""
}

// start starts a browser with a profile of its own.
func (p *Page) start() {
	p.t.Helper()
	browser := find(p.t)
	commands, toBrowser, err := os.Pipe()
	p.must(err)
	fromBrowser, answers, err := os.Pipe()
	p.must(err)
	dir, err := os.MkdirTemp("", "chromium-*")
	p.must(err)
	args := []string{
		"--headless", "--remote-debugging-pipe", "--user-data-dir=" + dir, "--no-first-run", "--disable-gpu", "--disable-dev-shm-usage",
		"--disable-background-networking", "--disable-component-update", "--disable-extensions", "--hide-scrollbars", "--force-color-profile=srgb",
		"--allow-pre-commit-input", // keys and clicks before the first frame would get lost
	}
	if os.Geteuid() == 0 {
		args = append(args, "--no-sandbox") // Chromium refuses root otherwise
	}
	var log strings.Builder
	cmd := exec.Command(browser, args...)
	cmd.Stderr, cmd.WaitDelay = &log, 5*time.Second // helpers of the browser may keep it open
	cmd.ExtraFiles = []*os.File{commands, answers}  // 3 and 4
	p.must(cmd.Start())
	_, _ = commands.Close(), answers.Close()
	p.pipe = newPipe(fromBrowser, toBrowser, p.event)
	p.t.Cleanup(func() {
		// The browser ends when the pipe does, should it not follow the command.
		_, _ = p.pipe.send("", "Browser.close", map[string]any{})
		ended := make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		select {
		case <-ended:
		case <-time.After(10 * time.Second):
			_ = cmd.Process.Kill()
			<-ended
		}
		_, _ = toBrowser.Close(), fromBrowser.Close()
		for range 20 { // helpers of the browser may still write
			if err = os.RemoveAll(dir); err == nil {
				return
			}
			time.Sleep(50 * time.Millisecond)
		}
		p.t.Logf("the profile is left: %v\n%s", err, log.String())
	})
}

func (p *Page) event(m message) {
	var params struct {
		Name  string `json:"name"`
		Entry struct {
			Level, Text string
		} `json:"entry"`
		ExceptionDetails json.RawMessage `json:"exceptionDetails"`
		Request          struct {
			URL string `json:"url"`
		} `json:"request"`
	}
	_ = json.Unmarshal(m.Params, &params) // what has another form is not looked at
	p.mu.Lock()
	defer p.mu.Unlock()
	switch m.Method {
	case "Page.loadEventFired":
		select {
		case p.loaded <- struct{}{}:
		default: // nobody waits
		}
	case "Runtime.exceptionThrown":
		p.problems = append(p.problems, string(params.ExceptionDetails))
	case "Log.entryAdded":
		p.problems = append(p.problems, params.Entry.Level+": "+params.Entry.Text)
	case "Runtime.consoleAPICalled", "Page.javascriptDialogOpening":
		p.problems = append(p.problems, m.Method+": "+string(m.Params))
	case "Network.requestWillBeSent":
		p.requests = append(p.requests, params.Request.URL)
	}
}

// check holds that the page was quiet and alone.
func (p *Page) check(address string) {
	p.Eval("0") // what came before has been heard
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, problem := range p.problems {
		p.t.Errorf("the page says: %s", problem)
	}
	plain, _, _ := strings.Cut(address, "#")
	for _, request := range p.requests {
		if request, _, _ := strings.Cut(request, "#"); request != plain {
			p.t.Errorf("the page asks for %s", request)
		}
	}
}

func (p *Page) must(err error) {
	p.t.Helper()
	if err != nil {
		p.t.Fatal(err)
	}
}

// Call sends a command of the protocol.
func (p *Page) Call(method string, params, result any) {
	p.t.Helper()
	p.must(p.pipe.call(p.session, method, params, result))
}

// Eval evaluates an expression of JavaScript and returns its value as JSON does.
func (p *Page) Eval(expression string) any {
	p.t.Helper()
	var answer struct {
		Result struct {
			Value any `json:"value"`
		} `json:"result"`
		ExceptionDetails *struct {
			Exception struct {
				Description string `json:"description"`
			} `json:"exception"`
		} `json:"exceptionDetails"`
	}
	p.Call("Runtime.evaluate", map[string]any{"expression": expression, "returnByValue": true}, &answer)
	if answer.ExceptionDetails != nil {
		p.must(fmt.Errorf("evaluating %s: %w", expression, errors.New(answer.ExceptionDetails.Exception.Description)))
	}
	return answer.Result.Value
}

// Text is what can be read of an element, empty if there is none or it is hidden.
func (p *Page) Text(selector string) string {
	p.t.Helper()
	text, _ := p.Eval(fmt.Sprintf("(e => e && e.getClientRects().length ? e.innerText : '')(document.querySelector(%s))", quote(selector))).(string)
	return text
}

func quote(text string) string {
	quoted, _ := json.Marshal(text) // a string has JSON
	return string(quoted)
}

// Click scrolls to an element and clicks in its middle.
func (p *Page) Click(selector string) {
	p.t.Helper()
	x, y := p.middle(selector)
	for _, kind := range []string{"mouseMoved", "mousePressed", "mouseReleased"} {
		p.mouse(kind, x, y)
	}
}

// Hover scrolls to an element and moves the mouse there.
func (p *Page) Hover(selector string) {
	p.t.Helper()
	x, y := p.middle(selector)
	p.mouse("mouseMoved", x, y)
}

// Drag presses the mouse at a part of an element's width and lets it go at another.
func (p *Page) Drag(selector string, from, to float64) {
	p.t.Helper()
	box := p.box(selector)
	y := box[1] + box[3]/2
	p.mouse("mousePressed", box[0]+from*box[2], y)
	p.mouse("mouseMoved", box[0]+to*box[2], y)
	p.mouse("mouseReleased", box[0]+to*box[2], y)
}

func (p *Page) mouse(kind string, x, y float64) {
	p.t.Helper()
	params := map[string]any{"type": kind, "x": x, "y": y, "button": "left", "clickCount": 1}
	if kind == "mouseMoved" {
		params["buttons"] = 1
	}
	p.Call("Input.dispatchMouseEvent", params, nil)
}

func (p *Page) middle(selector string) (x, y float64) {
	p.t.Helper()
	box := p.box(selector)
	return box[0] + box[2]/2, box[1] + box[3]/2
}

// box scrolls to an element and returns where it is: x, y, width, height.
func (p *Page) box(selector string) [4]float64 {
	p.t.Helper()
	value := p.Eval(fmt.Sprintf(`(() => { const e = document.querySelector(%s); if (!e) return null;
		e.scrollIntoView({block: 'center'}); const b = e.getBoundingClientRect(); return [b.x, b.y, b.width, b.height] })()`, quote(selector)))
	list, ok := value.([]any)
	if !ok || len(list) != 4 {
		p.t.Fatalf("there is no %s on the page", selector)
	}
	var box [4]float64
	for i, v := range list {
		box[i], _ = v.(float64)
	}
	return box
}

// Press presses a key, such as Escape, ArrowRight, Enter or +.
func (p *Page) Press(key string) {
	p.t.Helper()
	down := map[string]any{"type": "keyDown", "key": key, "code": key}
	switch key {
	case "Enter":
		down["text"], down["windowsVirtualKeyCode"] = "\r", 13
	default:
		if len(key) == 1 {
			down["text"] = key
		}
	}
	p.Call("Input.dispatchKeyEvent", down, nil)
	p.Call("Input.dispatchKeyEvent", map[string]any{"type": "keyUp", "key": key, "code": key}, nil)
}

// Screenshot returns the window as PNG, or the whole page.
func (p *Page) Screenshot(whole bool) []byte {
	p.t.Helper()
	var answer struct {
		Data []byte `json:"data"`
	}
	p.Call("Page.captureScreenshot", map[string]any{"format": "png", "captureBeyondViewport": whole}, &answer)
	return answer.Data
}
