package store

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
)

// Subscriptions are the filters that the broker may still hold for us. They
// outlive the configuration that named them, as the broker's session does.
func (s *Store) Subscriptions(ctx context.Context) ([]string, error) {
	var text string
	err := s.read().QueryRowContext(ctx, "SELECT value FROM meta WHERE key = ?", metaFilters).Scan(&text)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	var filters []string
	if err := json.Unmarshal([]byte(text), &filters); err != nil {
		return nil, fmt.Errorf("read the subscriptions: %w", err)
	}
	return filters, nil
}

// SetSubscriptions replaces them.
func (s *Store) SetSubscriptions(ctx context.Context, filters []string) error {
	text, err := json.Marshal(filters)
	if err != nil {
		return fmt.Errorf("encode the subscriptions: %w", err)
	}
	s.writing.Lock()
	defer s.writing.Unlock()
	_, err = s.pools.Load().stmts.meta.ExecContext(ctx, metaFilters, string(text), sum(metaFilters, string(text)))
	if err != nil {
		return s.failed(ctx, fmt.Errorf("write the subscriptions: %w", err), false)
	}
	return nil
}
