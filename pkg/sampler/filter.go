package sampler

import "regexp"

// filter decides by name which devices, mounts and fields are sampled. It is
// asked when something new appears, not in every round.
type filter struct{ include, exclude *regexp.Regexp }

// newFilter compiles the two expressions; an empty one lets everything pass.
func newFilter(include, exclude string) (f filter, err error) {
	if f.include, err = compile(include); err != nil {
		return filter{}, err
	}
	f.exclude, err = compile(exclude)
	return f, err
}

func compile(pattern string) (*regexp.Regexp, error) {
	if pattern == "" {
		return nil, nil
	}
	return regexp.Compile(pattern)
}

func (f filter) passes(name string) bool {
	return (f.include == nil || f.include.MatchString(name)) &&
		(f.exclude == nil || !f.exclude.MatchString(name))
}
