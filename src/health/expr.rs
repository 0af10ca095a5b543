//! CEL rules: the shape and the functions that Flux users know.
//!
//! Enters: an expression as text, once; then live objects.
//! Leaves: true, false, or nothing yet where a field that it reads is missing.
//! Never: an expression whose cost is not bounded before it runs.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, LazyLock},
};

use kube_cel::{
    KubeCelExt as _,
    cel::{
        Context, ExecutionError, ParseErrors, Program, Value as Cel,
        context::VariableResolver,
        objects::{Key, Map},
    },
};
use serde_json::Value;

use super::cost;

/// Longest expression in bytes, as in the schema of the Application.
const LONGEST: usize = 4096;
/// Deepest JSON that is handed to an expression.
const DEEPEST: usize = 64;

/// Why an expression cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum ExpressionError {
    /// Longer than the schema allows.
    #[error("read an expression of {length} bytes: at most {LONGEST} are allowed")]
    TooLong {
        /// Its length in bytes.
        length: usize,
    },
    /// Not CEL.
    #[error("parse it as CEL")]
    Parse(#[source] ParseErrors),
    /// The parser gave up; a bug of the parser.
    #[error("parse it as CEL: the parser failed without a message")]
    Parser,
    /// A function that does not exist.
    #[error("find the function {name}()")]
    Function {
        /// Its name.
        name: String,
    },
    /// A message type: there are none here.
    #[error("build a {name}: health expressions have no message types")]
    Message {
        /// Name of the type.
        name: String,
    },
    /// A function whose cost depends on a number that is not known before it runs.
    #[error("bound the cost of {name}()")]
    Unbounded {
        /// Name of the function.
        name: String,
    },
}

/// What an expression says of an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// It holds.
    Yes,
    /// It does not.
    No,
    /// A field that it reads is not there yet.
    NotYet,
    /// It cannot be evaluated on this object, and why.
    Broken(String),
}

/// One compiled expression.
#[derive(Debug)]
pub(super) struct Expression {
    program: Program,
}

static FUNCTIONS: LazyLock<Context<'static>> = LazyLock::new(|| Context::default().with_all());

impl Expression {
    /// Compiles an expression.
    pub(super) fn new(source: &str) -> Result<Self, ExpressionError> {
        if source.len() > LONGEST {
            return Err(ExpressionError::TooLong {
                length: source.len(),
            });
        }
        // The parser is another's and its text a tenant's: a panic there must not be one here.
        let program = match catch_unwind(AssertUnwindSafe(|| Program::compile(source))) {
            Ok(program) => program.map_err(ExpressionError::Parse)?,
            Err(_panic) => return Err(ExpressionError::Parser),
        };
        cost::check(program.expression(), &is_function)?;
        Ok(Self { program })
    }

    /// Evaluates the expression on an object: its top-level fields are the variables.
    pub(super) fn evaluate(&self, object: &Value) -> Answer {
        let Some(bound) = cost::within(self.program.expression(), object) else {
            return Answer::Broken(
                "evaluating it on an object of this size costs too much".to_owned(),
            );
        };
        let fields = Fields { object };
        let mut context = FUNCTIONS.new_inner_scope();
        context.set_variable_resolver(&fields);
        // The evaluator has panics for what it does not support; none of them may end the assessment.
        let result = catch_unwind(AssertUnwindSafe(|| self.program.execute(&context)));
        match result {
            Ok(Ok(Cel::Bool(true))) => Answer::Yes,
            Ok(Ok(Cel::Bool(false))) => Answer::No,
            Ok(Ok(other)) => Answer::Broken(format!(
                "it gives {:?} and not true or false",
                other.type_of()
            )),
            Ok(Err(ExecutionError::NoSuchKey(_) | ExecutionError::UndeclaredReference(_))) => {
                Answer::NotYet
            }
            // An index beyond the end is a field that is not there yet.
            Ok(Err(ExecutionError::IndexOutOfBounds(_))) => Answer::NotYet,
            Ok(Err(error)) => Answer::Broken(error.to_string()),
            Err(_panic) => Answer::Broken(format!(
                "the evaluator failed without a message (cost bound {bound})"
            )),
        }
    }
}

/// Says whether a function of this name exists: asked of the evaluator itself, so that no list grows old.
fn is_function(name: &str) -> bool {
    let call = Program::compile(&format!("{name}()"));
    call.is_ok_and(|call| {
        !matches!(
            catch_unwind(AssertUnwindSafe(|| call.execute(&FUNCTIONS))),
            Ok(Err(ExecutionError::UndeclaredReference(_)))
        )
    })
}

/// The top-level fields of an object, converted when they are read.
struct Fields<'a> {
    object: &'a Value,
}

impl VariableResolver for Fields<'_> {
    fn resolve(&self, variable: &str) -> Option<Cel> {
        self.object
            .get(variable)
            .map(|value| convert(value, DEEPEST))
    }
}

/// Converts JSON as Kubernetes does: integers are `int`, never `uint`.
fn convert(value: &Value, depth: usize) -> Cel {
    let Some(deeper) = depth.checked_sub(1) else {
        return Cel::Null;
    };
    match value {
        Value::Null => Cel::Null,
        Value::Bool(flag) => Cel::Bool(*flag),
        Value::Number(number) => number
            .as_i64()
            .map(Cel::Int)
            .or_else(|| number.as_u64().map(Cel::UInt))
            .or_else(|| number.as_f64().map(Cel::Float))
            .unwrap_or(Cel::Null),
        Value::String(text) => Cel::String(Arc::new(text.clone())),
        Value::Array(items) => Cel::List(Arc::new(
            items.iter().map(|item| convert(item, deeper)).collect(),
        )),
        Value::Object(map) => Cel::Map(Map {
            map: Arc::new(
                map.iter()
                    .map(|(key, item)| (Key::String(Arc::new(key.clone())), convert(item, deeper)))
                    .collect::<HashMap<_, _>>(),
            ),
        }),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(source: &str, object: &Value) -> Answer {
        Expression::new(source).unwrap().evaluate(object)
    }

    #[test]
    fn expressions_as_flux_users_write_them() {
        let object = json!({
            "metadata": {"generation": 2, "labels": {"a": "b"}},
            "status": {
                "observedGeneration": 2, "phase": "Ready", "replicas": 3,
                "conditions": [{"type": "Ready", "status": "True", "observedGeneration": 2}, {"type": "Synced", "status": "False"}]
            }
        });
        for source in [
            "status.conditions.filter(e, e.type == 'Ready').all(e, e.status == 'True')",
            "status.conditions.filter(e, e.type == 'Ready').all(e, e.observedGeneration == metadata.generation && e.status == 'True')",
            "status.conditions.exists(e, e.type == 'Synced' && e.status == 'False')",
            "has(status.phase) && status.phase in ['Ready', 'Done']",
            "metadata.generation == status.observedGeneration",
            "status.replicas >= 3 && status.replicas + 1 == 4",
            "!has(status.failure)",
            "status.phase.startsWith('Re') && size(status.conditions) == 2",
            "status.phase.lowerAscii() == 'ready'",
            "metadata.labels['a'] == 'b'",
        ] {
            assert_eq!(check(source, &object), Answer::Yes, "{source}");
        }
        assert_eq!(check("status.phase == 'Failed'", &object), Answer::No);
    }

    #[test]
    fn a_missing_field_is_not_yet() {
        let object = json!({"metadata": {}, "status": {"conditions": []}});
        for source in [
            "status.phase == 'Ready'",
            "spec.size == 1",
            "has(spec.size)",
            "status.conditions[0].status == 'True'",
            "metadata.generation == status.observedGeneration",
        ] {
            assert_eq!(check(source, &object), Answer::NotYet, "{source}");
        }
    }

    #[test]
    fn what_is_not_true_or_false_is_broken() {
        let object = json!({"status": {"phase": "Ready"}});
        assert!(matches!(check("status.phase", &object), Answer::Broken(_)));
        assert!(matches!(
            check("status.phase + 1 == 2", &object),
            Answer::Broken(_)
        ));
    }

    #[test]
    fn bad_expressions_are_refused() {
        for source in [
            "",
            "status.",
            "status.phase ==",
            "nonsense(status)",
            "status.nonsense()",
            "Pod{a: 1}.a == 1",
            "lists.range(1000000000).size() == 1",
            "has(status)",
        ] {
            assert!(Expression::new(source).is_err(), "{source}");
        }
        let deep = format!("{}true{}", "(".repeat(2000), ")".repeat(2000));
        assert!(Expression::new(&deep).is_err());
    }

    #[test]
    fn cost_is_bounded_before_it_runs() {
        let items: Vec<_> = (0..2_000).collect();
        let object = json!({"status": {"items": items}});
        let nested =
            "status.items.all(a, status.items.all(b, status.items.all(c, a + b + c >= 0)))";
        assert!(matches!(check(nested, &object), Answer::Broken(_)));
        let doubling = format!("['a']{}.size() == 1", ".map(x, x + x)".repeat(60));
        assert!(matches!(check(&doubling, &object), Answer::Broken(_)));
        let growing = format!(
            "'a'{}.size() == 1",
            ".replace('a', 'aaaaaaaaaaaa')".repeat(12)
        );
        assert!(matches!(check(&growing, &object), Answer::Broken(_)));
        assert_eq!(check("status.items.all(a, a >= 0)", &object), Answer::Yes);
    }
}
