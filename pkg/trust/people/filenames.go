package people

// Names of the files in the directory's folder.
const (
	UsersFile  = "users.json"
	TokensFile = "api-tokens.json"
)
