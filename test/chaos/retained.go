package main

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"
)

// shown is what a snapshot says, as far as two of them are compared.
func shown(payload []byte) (device, says string, err error) {
	var s struct {
		Device    string `json:"device"`
		Health    string `json:"health"`
		Diagnoses []struct {
			ID     string `json:"id"`
			Status string `json:"status"`
		} `json:"diagnoses"`
	}
	if err := json.Unmarshal(payload, &s); err != nil {
		return "", "", fmt.Errorf("read a snapshot: %w", err)
	}
	parts := []string{s.Health}
	for _, d := range s.Diagnoses {
		parts = append(parts, d.ID+"="+d.Status)
	}
	slices.Sort(parts[1:])
	return s.Device, strings.Join(parts, " "), nil
}

// retainedQuiet is how long the broker sends nothing when it has sent all.
const retainedQuiet = time.Second

// retained reads the retained snapshots of all devices.
func (s *site) retained() (map[string]string, error) {
	c, err := dial(s.broker.Address(), "chaos-look", true)
	if err != nil {
		return nil, err
	}
	defer func() { _ = c.conn.Close() }() // only read
	if err := c.subscribe("diagnostics/" + gateway + "/device/+"); err != nil {
		return nil, err
	}
	found := map[string]string{}
	for {
		if err := c.conn.SetReadDeadline(time.Now().Add(retainedQuiet)); err != nil {
			return nil, err
		}
		f, err := readFrame(c.r)
		if err != nil {
			return found, nil // nothing more comes
		}
		p, ok := f.publication()
		if !ok {
			continue
		}
		if err := c.puback(p.id); err != nil {
			return nil, err
		}
		if device, says, err := shown(p.payload); err == nil {
			found[device] = says
		}
	}
}

// compareRetained says how the retained topics differ from the store: whatever
// was lost, they are to be the whole truth.
func (s *site) compareRetained(ctx context.Context) {
	found, err := s.retained()
	if err != nil {
		s.broke("read what is retained: %v", err)
		return
	}
	answer, err := s.agent.get(ctx, "/api/v1/devices")
	var list []json.RawMessage
	if err == nil {
		err = json.Unmarshal(answer, &list)
	}
	if err != nil {
		s.broke("read the agent's devices: %v", err)
		return
	}
	missing, differing := 0, 0
	for _, raw := range list {
		device, says, err := shown(raw)
		if err != nil {
			s.broke("%v", err)
			return
		}
		if got, ok := found[device]; !ok {
			missing++
		} else if got != says {
			differing++
		}
		delete(found, device)
	}
	if missing+differing+len(found) > 0 {
		s.broke("retained topics: of %d devices in the store %d are missing, %d differ; %d are nobody's",
			len(list), missing, differing, len(found))
	}
}
