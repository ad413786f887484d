package daemon

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"
)

func TestEmbed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		spec := sampleSpec(t)
		var log []string
		spec.Run = func(ctx context.Context, cfg sampleConfig, p *Process[sampleConfig]) error {
			p.Teardown.AddClose("store", func() error {
				log = append(log, "closed")
				return nil
			})
			p.Status("starting")
			p.Watch("store", func() error { return nil })
			time.Sleep(time.Second)
			p.Ready()
			p.Ready()
			return p.Wait(ctx)
		}
		ctx, cancel := context.WithCancel(t.Context())
		ready := make(chan struct{})
		done := make(chan error, 1)
		go func() { done <- Embed(ctx, spec, spec.Default(), quiet(), func() { close(ready) }) }()
		<-ready
		cancel()
		if err := <-done; err != nil || len(log) != 1 {
			t.Errorf("Embed returned %v, teardown did %q; want nil and one step", err, log)
		}
	})
}

func TestEmbedReturnsWhatFailed(t *testing.T) {
	spec := sampleSpec(t)
	wrong := spec.Default()
	wrong.Count = -1
	if err := Embed(t.Context(), spec, wrong, quiet(), nil); err == nil || err.Error() != "configuration of sampled: count: is -1; want 0 or more" {
		t.Errorf("a wrong configuration: got %v", err)
	}
	broken := errors.New("broken")
	spec.Run = func(context.Context, sampleConfig, *Process[sampleConfig]) error { return broken }
	if err := Embed(t.Context(), spec, spec.Default(), quiet(), func() { t.Error("ready was called") }); !errors.Is(err, broken) {
		t.Errorf("a run that fails: got %v, want %v", err, broken)
	}
}
