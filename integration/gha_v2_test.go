package integration

import (
	"encoding/json"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// refuse answers everything with a status from now on.
func (a *actions) refuse(status int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.refused = status
}

// serveV2 adds the second version: calls of a service that hands out URLs, and a store
// of blobs in blocks behind them, as Azure's.
func (a *actions) serveV2(mux *http.ServeMux) {
	const api = "POST /twirp/github.actions.results.api.v1.CacheService/"
	blocks := make(map[string][]byte)
	answer := func(call string, reply func(w http.ResponseWriter, key string, restore []string) map[string]any) {
		mux.HandleFunc(api+call, func(w http.ResponseWriter, r *http.Request) {
			var request struct {
				Key         string
				RestoreKeys []string `json:"restore_keys"`
			}
			if err := json.NewDecoder(r.Body).Decode(&request); err != nil || !strings.HasPrefix(r.Header.Get("Authorization"), "Bearer ") {
				http.Error(w, "a key and a token are needed", http.StatusBadRequest)
				return
			}
			a.mu.Lock()
			defer a.mu.Unlock()
			_ = json.NewEncoder(w).Encode(reply(w, request.Key, request.RestoreKeys))
		})
	}
	answer("CreateCacheEntry", func(w http.ResponseWriter, key string, _ []string) map[string]any {
		if a.taken(key) {
			w.WriteHeader(http.StatusConflict)
			return map[string]any{"code": "already_exists", "msg": "cache entry with the same key, version, and scope already exists"}
		}
		a.keys = append(a.keys, key)
		return map[string]any{"ok": true, "signed_upload_url": fmt.Sprintf("%sblob/%d?sig=x", a.url, len(a.keys))}
	})
	answer("FinalizeCacheEntryUpload", func(_ http.ResponseWriter, key string, _ []string) map[string]any {
		a.content[key] = a.pending[key]
		return map[string]any{"ok": true, "entry_id": "1"}
	})
	answer("GetCacheEntryDownloadURL", func(_ http.ResponseWriter, key string, restore []string) map[string]any {
		for _, wanted := range append([]string{key}, restore...) {
			for i, known := range slices.Backward(a.keys) {
				if _, ok := a.content[known]; ok && strings.HasPrefix(known, wanted) {
					return map[string]any{"ok": true, "matched_key": known, "signed_download_url": fmt.Sprintf("%sblob/%d?sig=x", a.url, i+1)}
				}
			}
		}
		return map[string]any{"ok": false}
	})
	mux.HandleFunc("PUT /blob/{id}", func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		a.mu.Lock()
		defer a.mu.Unlock()
		switch query := r.URL.Query(); query.Get("comp") {
		case "block":
			blocks[r.PathValue("id")+query.Get("blockid")] = body
		case "blocklist":
			var list struct{ Latest []string }
			if err := xml.Unmarshal(body, &list); err != nil {
				http.Error(w, err.Error(), http.StatusBadRequest)
				return
			}
			body = nil
			for _, id := range list.Latest {
				body = append(body, blocks[r.PathValue("id")+id]...)
			}
			fallthrough
		default:
			a.pending[a.key(r)] = body
		}
		w.Header().Set("X-Ms-Request-Id", "1")
		w.WriteHeader(http.StatusCreated)
	})
}
