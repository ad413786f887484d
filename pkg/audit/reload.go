package audit

// ReloadEntry tells how a daemon's reload of its configuration ended. Who has sent
// the signal the kernel does not say: root, or the daemon's own user.
func ReloadEntry(err error) Entry {
	if err != nil {
		return Entry{Who: "signal", What: ReloadFailed, Detail: err.Error()}
	}
	return Entry{Who: "signal", What: Reload, OK: true}
}
