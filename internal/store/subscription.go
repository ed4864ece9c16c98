package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// This file is what the broker may still hold of us, by name. It outlives the
// configuration that named it, as the broker's own memory does.

// Subscriptions are the filters that the broker's session may still have.
func (s *Store) Subscriptions(ctx context.Context) ([]string, error) {
	return s.names(ctx, metaFilters)
}

// SetSubscriptions replaces them.
func (s *Store) SetSubscriptions(ctx context.Context, filters []string) error {
	return s.setNames(ctx, metaFilters, filters)
}

// Roots are the beginnings of topics, as "base/gateway/", under which something
// of ours may be retained.
func (s *Store) Roots(ctx context.Context) ([]string, error) { return s.names(ctx, metaRoots) }

// SetRoots replaces them.
func (s *Store) SetRoots(ctx context.Context, roots []string) error {
	return s.setNames(ctx, metaRoots, roots)
}

// names reads a list of names; nil where none was written.
func (s *Store) names(ctx context.Context, key string) ([]string, error) {
	var text string
	err := s.read().QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", key).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the %s: %w", key, err)
	}
	var names []string
	if err := json.Unmarshal([]byte(text), &names); err != nil {
		return nil, fmt.Errorf("read the %s: %w", key, err)
	}
	return names, nil
}

func (s *Store) setNames(ctx context.Context, key string, names []string) error {
	text, err := json.Marshal(names)
	if err != nil {
		return fmt.Errorf("encode the %s: %w", key, err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err = s.pools.Load().stmts.meta.ExecContext(ctx, key, string(text), sum(key, string(text)))
	if err != nil {
		return s.failed(ctx, fmt.Errorf("write the %s: %w", key, err), false)
	}
	return nil
}
