package report
func Compare(a, b string) (string, error) { return "", nil }
