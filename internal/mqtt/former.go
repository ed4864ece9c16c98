package mqtt

import (
	"context"
	"encoding/json"
	"slices"
)

// cleanFormer retracts what we left under another base topic or gateway id. A
// root whose state says neither our client id nor our epoch was not ours, and
// one where another agent is online is his by now: both are left alone.
func (f *outflow) cleanFormer(ctx context.Context) error {
	for len(f.former) > 0 {
		root := f.former[0]
		if root != f.root {
			if err := f.cleanRoot(ctx, root); err != nil {
				return err
			}
			if f.dropped {
				return nil // it could not be read: another time
			}
		}
		f.former = f.former[1:]
		if f.opts.Cleaned != nil {
			f.opts.Cleaned(root)
		}
	}
	return nil
}

func (f *outflow) cleanRoot(ctx context.Context, root string) error {
	state, mark := root+"state", root+"self/watermark"
	f.back.start(f.s, state, mark)
	if err := f.readTopics(ctx, []string{state, mark, root + "info", root + "site"}); err != nil {
		return err
	}
	said := f.back.read(state)
	if f.dropped || f.foreign(said) || !f.ours(said) {
		return nil
	}
	f.opts.Log.Info("what was published under a former topic is retracted", "topic", root+"#")
	last := []stray{{topic: mark}, {topic: root + "info"}}
	for before := 0; ; {
		if err := f.readTopics(ctx, []string{root + "device/+"}); err != nil {
			return err
		}
		found := f.back.strays()
		found = slices.DeleteFunc(found, func(s stray) bool { return s.topic == root+"info" })
		if err := f.retract(ctx, found); err != nil {
			return err
		}
		if err := f.w.drain(ctx); err != nil {
			return err
		}
		if f.dropped || len(found) < manyStrays || len(found) == before {
			break
		}
		before = len(found)
	}
	for _, s := range last {
		if err := f.post(ctx, message{s.topic, nil, true}, suspect{}, nil); err != nil {
			return err
		}
	}
	for _, body := range [][]byte{f.state(false), nil} { // said, then gone
		if err := f.post(ctx, message{state, body, true}, suspect{}, nil); err != nil {
			return err
		}
	}
	return f.w.drain(ctx)
}

// ours tells whether a retained state was said by us.
func (f *outflow) ours(body []byte) bool {
	var s StateJSON
	return len(body) > 0 && json.Unmarshal(body, &s) == nil && (s.ClientID == f.opts.ClientID || s.Epoch == f.epoch)
}
