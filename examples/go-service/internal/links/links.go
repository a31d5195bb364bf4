// Package links keeps short names for addresses.
package links

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// ErrUnknown is returned for a name that nobody has added.
var ErrUnknown = errors.New("no such link")

// Link is an address and who added it.
type Link struct {
	Name  string `json:"name"`
	URL   string `json:"url"`
	Owner string `json:"owner"`
}

// Store keeps links.
type Store interface {
	Add(ctx context.Context, link Link) error
	// Find returns ErrUnknown if there is none.
	Find(ctx context.Context, name string) (Link, error)
}

type memory struct {
	mu    sync.RWMutex
	links map[string]Link
}

// NewMemory returns a store that forgets everything when the process ends.
func NewMemory() Store { return &memory{links: map[string]Link{}} }

func (m *memory) Add(_ context.Context, link Link) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.links[link.Name] = link
	return nil
}

func (m *memory) Find(_ context.Context, name string) (Link, error) {
	m.mu.RLock()
	defer m.mu.RUnlock()
	link, ok := m.links[name]
	if !ok {
		return Link{}, ErrUnknown
	}
	return link, nil
}

type postgres struct{ pool *pgxpool.Pool }

// NewPostgres returns a store in a database, and makes its table if it is missing.
func NewPostgres(ctx context.Context, pool *pgxpool.Pool) (Store, error) {
	const table = `create table if not exists links (name text primary key, url text not null, owner text not null)`
	if _, err := pool.Exec(ctx, table); err != nil {
		return nil, fmt.Errorf("making the table of links: %w", err)
	}
	return &postgres{pool}, nil
}

func (p *postgres) Add(ctx context.Context, link Link) error {
	_, err := p.pool.Exec(ctx, `insert into links (name, url, owner) values ($1, $2, $3)`, link.Name, link.URL, link.Owner)
	if err != nil {
		return fmt.Errorf("adding the link %q: %w", link.Name, err)
	}
	return nil
}

func (p *postgres) Find(ctx context.Context, name string) (Link, error) {
	link := Link{Name: name}
	err := p.pool.QueryRow(ctx, `select url, owner from links where name = $1`, name).Scan(&link.URL, &link.Owner)
	if errors.Is(err, pgx.ErrNoRows) {
		return Link{}, ErrUnknown
	}
	if err != nil {
		return Link{}, fmt.Errorf("looking for the link %q: %w", name, err)
	}
	return link, nil
}
