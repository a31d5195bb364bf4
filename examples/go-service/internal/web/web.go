// Package web answers the requests of linkd.
package web

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"
	"github.com/go-chi/cors"
	"github.com/golang-jwt/jwt/v5"
	"github.com/google/uuid"
	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promhttp"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.uber.org/zap"
	"golang.org/x/time/rate"

	"github.com/mabuild/mabuild/examples/go-service/internal/links"
)

const cached = 4096 // links

// Options say how requests are answered.
type Options struct {
	Secret []byte  // signs tokens; empty: nobody may add links
	Rate   float64 // requests per second
	Logger *zap.Logger
}

type server struct {
	Options
	store  links.Store
	recent *lru.Cache[string, links.Link]
	limit  *rate.Limiter
	served *prometheus.CounterVec
}

// New returns the service: POST /links, GET /NAME, /metrics and /healthz.
func New(store links.Store, opts Options) (http.Handler, error) {
	recent, err := lru.New[string, links.Link](cached)
	if err != nil {
		return nil, fmt.Errorf("making the cache of links: %w", err)
	}
	s := &server{Options: opts, store: store, recent: recent, limit: rate.NewLimiter(rate.Limit(opts.Rate), int(opts.Rate)+1)}
	s.served = prometheus.NewCounterVec(prometheus.CounterOpts{Name: "linkd_served_total", Help: "Links that were followed."}, []string{"found"})
	metrics := prometheus.NewRegistry()
	metrics.MustRegister(s.served, collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))

	r := chi.NewRouter()
	r.Use(middleware.RequestID, middleware.Recoverer, cors.Handler(cors.Options{AllowedMethods: []string{"GET", "POST"}}), s.limited)
	r.Handle("/metrics", promhttp.HandlerFor(metrics, promhttp.HandlerOpts{}))
	r.Get("/healthz", func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "ok") })
	r.Post("/links", s.add)
	r.Get("/{name}", s.follow)
	return otelhttp.NewHandler(r, "linkd"), nil
}

// Token returns a token that lets a user add links for a while.
func Token(secret []byte, user string, valid time.Duration) (string, error) {
	if len(secret) == 0 || user == "" {
		return "", errors.New("signing a token: give a secret and a user")
	}
	now := time.Now()
	claims := jwt.RegisteredClaims{Subject: user, IssuedAt: jwt.NewNumericDate(now), ExpiresAt: jwt.NewNumericDate(now.Add(valid))}
	return jwt.NewWithClaims(jwt.SigningMethodHS256, claims).SignedString(secret)
}

func (s *server) limited(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !s.limit.Allow() {
			http.Error(w, "too many requests", http.StatusTooManyRequests)
			return
		}
		next.ServeHTTP(w, r)
	})
}

// user returns who has signed the request.
func (s *server) user(r *http.Request) (string, error) {
	const prefix = "Bearer "
	header := r.Header.Get("Authorization")
	if len(s.Secret) == 0 || len(header) < len(prefix) || header[:len(prefix)] != prefix {
		return "", errors.New("a token is needed")
	}
	token, err := jwt.ParseWithClaims(header[len(prefix):], &jwt.RegisteredClaims{}, func(*jwt.Token) (any, error) { return s.Secret, nil },
		jwt.WithValidMethods([]string{"HS256"}), jwt.WithExpirationRequired())
	if err != nil {
		return "", err
	}
	return token.Claims.GetSubject()
}

func (s *server) add(w http.ResponseWriter, r *http.Request) {
	user, err := s.user(r)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnauthorized)
		return
	}
	var link links.Link
	if err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16)).Decode(&link); err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	if to, err := url.Parse(link.URL); err != nil || to.Host == "" || to.Scheme != "http" && to.Scheme != "https" {
		http.Error(w, "the url is not one of the web", http.StatusBadRequest)
		return
	}
	link.Name, link.Owner = uuid.NewString()[:8], user
	if err := s.store.Add(r.Context(), link); err != nil {
		s.fail(w, r, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	if err := json.NewEncoder(w).Encode(link); err != nil {
		s.Logger.Warn("answering", zap.Error(err))
	}
}

func (s *server) follow(w http.ResponseWriter, r *http.Request) {
	name := chi.URLParam(r, "name")
	link, ok := s.recent.Get(name)
	if !ok {
		var err error
		link, err = s.store.Find(r.Context(), name)
		switch {
		case errors.Is(err, links.ErrUnknown):
			s.served.WithLabelValues("no").Inc()
			http.NotFound(w, r)
			return
		case err != nil:
			s.fail(w, r, err)
			return
		}
		s.recent.Add(name, link)
	}
	s.served.WithLabelValues("yes").Inc()
	http.Redirect(w, r, link.URL, http.StatusFound)
}

func (s *server) fail(w http.ResponseWriter, r *http.Request, err error) {
	s.Logger.Error("answering", zap.String("request", middleware.GetReqID(r.Context())), zap.Error(err))
	http.Error(w, "it did not work", http.StatusInternalServerError)
}
