package discovery

const roleVariable = "DISCOVERY_TEST_ROLE"

func playRole(role string) int { return 1 }
