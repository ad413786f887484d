package model

import "testing"

func TestWorkerStateTextRoundTrip(t *testing.T) {
	for state := Probed; state <= Left; state++ {
		text, _ := state.MarshalText()
		var again WorkerState
		if err := again.UnmarshalText(text); err != nil || again != state {
			t.Errorf("%s parses to %v, %v", text, again, err)
		}
	}
	var state WorkerState
	for _, text := range []string{"", "Registered", "state(9)"} {
		if err := state.UnmarshalText([]byte(text)); err == nil {
			t.Errorf("UnmarshalText(%q): want an error", text)
		}
	}
	if got, want := WorkerState(99).String(), "state(99)"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestAgentStatesKeepTheLegacyNames(t *testing.T) {
	for state, want := range map[AgentState]string{Initialized: "INITIALIZED", Registering: "REGISTERING",
		AgentRegistered: "REGISTERED", RegisterFailed: "REGISTER_FAILED"} {
		if got := state.String(); got != want {
			t.Errorf("AgentState(%d) = %q, want %q", state, got, want)
		}
	}
}

func TestAbsentIsItsOwnKindOfNaN(t *testing.T) {
	if absent := Absent(); !IsAbsent(absent) || absent == absent {
		t.Error("Absent is not recognised, or is not a NaN")
	}
	zero := 0.0
	if IsAbsent(zero / zero) {
		t.Error("an ordinary NaN counts as absent")
	}
}
