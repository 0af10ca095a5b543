//! `plimsoll tenant`: what a team's namespace needs.
//!
//! Enters: names.
//! Leaves: YAML to read and apply.
//! Never: a right outside of that namespace.

use super::{Exit, Failure, args::TenantArgs, output};

pub(super) fn run(args: &TenantArgs) -> Result<Exit, Failure> {
    output::text(&manifest(args))?;
    Ok(Exit::Ok)
}

fn manifest(args: &TenantArgs) -> String {
    let TenantArgs {
        namespace,
        account,
        role,
        controller_namespace,
        controller_account,
    } = args;
    format!(
        "# The account that applies, and what it may do in its own namespace.
apiVersion: v1
kind: ServiceAccount
metadata:
  name: {account}
  namespace: {namespace}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: {account}
  namespace: {namespace}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: ClusterRole
  name: {role}
subjects:
- kind: ServiceAccount
  name: {account}
  namespace: {namespace}
---
# Lets the controller act as this account, and as no other.
apiVersion: rbac.authorization.k8s.io/v1
kind: Role
metadata:
  name: plimsoll-impersonate
  namespace: {namespace}
rules:
- apiGroups: [\"\"]
  resources: [serviceaccounts]
  resourceNames: [{account}]
  verbs: [impersonate]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: RoleBinding
metadata:
  name: plimsoll-impersonate
  namespace: {namespace}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: Role
  name: plimsoll-impersonate
subjects:
- kind: ServiceAccount
  name: {controller_account}
  namespace: {controller_namespace}
"
    )
}
