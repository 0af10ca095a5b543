package supervise

import "fmt"

// auditLevels are the levels that an audit policy knows.
var auditLevels = []string{"None", "Metadata", "Request", "RequestResponse"}

// auditPolicy is a policy that records each request once, when its response is complete.
func auditPolicy(level string) (string, error) {
	for _, known := range auditLevels {
		if level == known {
			return "apiVersion: audit.k8s.io/v1\n" +
				"kind: Policy\n" +
				"omitStages: [RequestReceived, ResponseStarted]\n" +
				"omitManagedFields: true\n" +
				"rules:\n" +
				"- level: " + level + "\n", nil
		}
	}
	return "", fmt.Errorf("read the flags: --audit-level %q is none of %v", level, auditLevels)
}
