package audit

// The words of Entry.What. The list is closed: whoever reads the log, a person or
// a program, can rely on it. Parts of one thing are joined by a point.
const (
	FleetCreate = "fleet.create" // coordinatord has made the fleet and its authority

	Enrol        = "enrol"         // a machine was let in: by a token, a policy or as a clone
	EnrolPending = "enrol.pending" // a machine without a token waits for approval
	EnrolRefused = "enrol.refused" // a machine was turned away; Detail has the reason
	Approve      = "approve"       // an operator has let a pending machine in
	Reject       = "reject"        // an operator has turned it away
	Revoke       = "revoke"        // a worker, server or operator was shut out
	Readmit      = "readmit"       // and taken off that list again
	Forget       = "forget"        // a worker's record was removed
	Rekey        = "rekey"         // a machine was told to make itself a new identity
	Issue        = "issue"         // a certificate of a server, an operator or for browsers

	TokenCreate = "token.create" // a join token
	TokenRevoke = "token.revoke"

	Login          = "login"        // a person, with a password or the admin secret
	LoginFailed    = "login.failed" // wrong, locked
	Logout         = "logout"
	UserSet        = "user.set" // made, or password or scope changed
	UserRemove     = "user.remove"
	APITokenCreate = "apitoken.create"
	APITokenRevoke = "apitoken.revoke"
	SecretReset    = "secret.reset" // the admin secret was made anew

	SnapshotMake   = "snapshot.make"   // of everything that is stored
	SnapshotImport = "snapshot.import" // what it has was taken over

	// The steps of replacing the fleet's authority.
	AuthorityPrepare = "authority.prepare"
	AuthoritySwitch  = "authority.switch"
	AuthorityDrop    = "authority.drop"
	AuthorityAbandon = "authority.abandon"

	Reload       = "reload"        // the configuration was read again
	ReloadFailed = "reload.failed" // and is wrong: the former one stays

	Repaired = "audit.repaired" // this log's last line was cut off; written by the log itself
)

// Words returns all of them, in no particular order.
func Words() []string {
	return []string{FleetCreate, Enrol, EnrolPending, EnrolRefused, Approve, Reject, Revoke, Readmit, Forget, Rekey, Issue,
		TokenCreate, TokenRevoke, Login, LoginFailed, Logout, UserSet, UserRemove, APITokenCreate, APITokenRevoke, SecretReset, SnapshotMake, SnapshotImport,
		AuthorityPrepare, AuthoritySwitch, AuthorityDrop, AuthorityAbandon, Reload, ReloadFailed, Repaired}
}

// byStrangers reports whether somebody who has shown nothing can cause such an
// entry, as often as he likes.
func byStrangers(what string) bool {
	return what == LoginFailed || what == EnrolPending || what == EnrolRefused
}
