package parity_test

import (
	"bytes"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// bucket is an object store with S3's interface, and in it the bucket that cases use.
func bucket(t *testing.T) string {
	t.Helper()
	store := s3mem.New()
	if err := store.CreateBucket("caches"); err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(gofakes3.New(store, gofakes3.WithLogger(gofakes3.DiscardLog())).Server())
	t.Cleanup(server.Close)
	return server.URL
}

// blobStore has the part of Azure's interface that block blobs need.
type blobStore struct {
	mu     sync.Mutex
	blobs  map[string][]byte // by path
	blocks map[string][]byte // by path and name
}

// container is such a store, and its account.
func container(t *testing.T) string {
	t.Helper()
	server := httptest.NewServer(&blobStore{blobs: make(map[string][]byte), blocks: make(map[string][]byte)})
	t.Cleanup(server.Close)
	return server.URL + "/account"
}

func (s *blobStore) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w.Header().Set("X-Ms-Request-Id", "1")
	path, query := r.URL.Path, r.URL.Query()
	if query.Get("restype") == "container" {
		if r.Method == http.MethodPut {
			w.WriteHeader(http.StatusCreated)
		}
		return
	}
	if r.Method != http.MethodPut {
		body, found := s.blobs[path]
		if !found {
			w.Header().Set("X-Ms-Error-Code", "BlobNotFound")
			http.Error(w, "there is none", http.StatusNotFound)
			return
		}
		w.Header().Set("Etag", `"1"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
		return
	}
	body, _ := io.ReadAll(r.Body)
	switch query.Get("comp") {
	case "block":
		s.blocks[path+"?"+query.Get("blockid")] = body
	case "blocklist":
		var list struct{ Latest []string }
		if err := xml.Unmarshal(body, &list); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		body = nil
		for _, id := range list.Latest {
			body = append(body, s.blocks[path+"?"+id]...)
		}
		s.blobs[path] = body
	default:
		s.blobs[path] = body
	}
	w.WriteHeader(http.StatusCreated)
}
