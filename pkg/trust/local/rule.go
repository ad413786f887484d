package local

import (
	"errors"
	"os"
	"os/user"
	"slices"
	"strconv"

	"github.com/cloudless-fleet/cloudless/pkg/model"
)

// Rule says which callers are administrators. Root and the user that this process
// runs as always are: both can read its files anyway. It is a plain value.
type Rule struct {
	// AdminGroup is the name, or the number, of a group whose members are
	// administrators, by whatever way they are members. One that does not exist
	// admits nobody; empty: no group does.
	AdminGroup string `toml:"admin_group"`
	// Users are names, or numbers, of further administrators.
	Users []string `toml:"admin_users"`
}

// maxName is the length of the longest user or group name, in bytes.
const maxName = 256

// Validate names every key that is wrong. A name without a user or group is not
// wrong: it may be made later.
func (r Rule) Validate() error {
	var errs []error
	if len(r.AdminGroup) > maxName {
		errs = append(errs, model.Fieldf("admin_group", "want the name or the number of a group"))
	}
	for _, name := range r.Users {
		if name == "" || len(name) > maxName {
			errs = append(errs, model.Fieldf("admin_users", "%.32q: want the name or the number of a user", name))
		}
	}
	return errors.Join(errs...)
}

// The kernel shows users and groups that have no number in this process's user
// namespace, those of a container's host for instance, as "nobody".
const unmapped = 65534

// Admin reports whether c is an administrator. It may read /etc/passwd and
// /etc/group.
func (r Rule) Admin(c Caller) bool {
	if c.UID == 0 || c.UID == uint32(os.Geteuid()) && c.UID != unmapped {
		return true
	}
	if gid, ok := number(r.AdminGroup, groupID); ok && (c.GID == gid || slices.Contains(c.Groups, gid)) {
		return true
	}
	return slices.ContainsFunc(r.Users, func(name string) bool { return r.Is(c, name) })
}

// Is reports whether c runs as the user with that name or number, root not
// excepted: a service's own user, for instance.
func (r Rule) Is(c Caller, name string) bool {
	uid, ok := number(name, userID)
	return ok && c.UID == uid
}

// number finds what a name stands for: a user or group that is called so, or
// else the number itself. Nobody and nogroup stand for nobody.
func number(name string, look func(string) (string, error)) (uint32, bool) {
	if name == "" {
		return 0, false
	}
	text, err := look(name)
	if err != nil {
		text = name
	}
	id, err := strconv.ParseUint(text, 10, 32)
	if err != nil || id == unmapped || id == uint64(^uint32(0)) {
		return 0, false
	}
	return uint32(id), true
}

func userID(name string) (string, error) {
	found, err := user.Lookup(name)
	if err != nil {
		return "", err
	}
	return found.Uid, nil
}

func groupID(name string) (string, error) {
	found, err := user.LookupGroup(name)
	if err != nil {
		return "", err
	}
	return found.Gid, nil
}
