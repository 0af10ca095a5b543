//! What an expression may cost: bounded before it runs, because the evaluator has no meter.
//!
//! Enters: the tree of an expression, and the object it is to run on.
//! Leaves: an upper bound in steps, or a refusal.
//! Never: an evaluation.

use kube_cel::cel::{
    IdedExpr,
    common::ast::{CallExpr, ComprehensionExpr, EntryExpr, Expr, LiteralValue},
};
use serde_json::Value;

use super::expr::ExpressionError;

/// Most steps of one evaluation: well below a second (a step is a node copied or compared).
const MOST: f64 = 5_000_000.0;

/// Functions whose result is as large as a number says.
const UNBOUNDED: &[&str] = &["lists.range"];
/// Functions whose result can be as large as the product of what goes in.
const GROWING: &[&str] = &["replace", "join", "format", "split"];
/// Functions that compare everything with everything.
const PAIRWISE: &[&str] = &[
    "sets.contains",
    "sets.equivalent",
    "sets.intersects",
    "distinct",
    "sort",
    "flatten",
];
/// Functions that compile a pattern.
const PATTERNS: &[&str] = &["matches", "find", "findAll"];
/// Steps for one pattern.
const PATTERN: f64 = 10_000.0;

/// Refuses what cannot be evaluated or bounded.
pub(super) fn check(
    expression: &IdedExpr,
    is_function: &dyn Fn(&str) -> bool,
) -> Result<(), ExpressionError> {
    match &expression.expr {
        Expr::Call(call) => {
            let name = qualified(call, is_function);
            if UNBOUNDED.contains(&name.as_str()) {
                return Err(ExpressionError::Unbounded { name });
            }
            if is_word(&name) && !is_function(&name) {
                return Err(ExpressionError::Function { name });
            }
            call.target
                .iter()
                .try_for_each(|target| check(target, is_function))?;
            call.args
                .iter()
                .try_for_each(|argument| check(argument, is_function))
        }
        Expr::Comprehension(comprehension) => parts(comprehension)
            .into_iter()
            .try_for_each(|part| check(part, is_function)),
        Expr::List(list) => list
            .elements
            .iter()
            .try_for_each(|element| check(element, is_function)),
        Expr::Map(map) => map.entries.iter().try_for_each(|entry| match &entry.expr {
            EntryExpr::MapEntry(entry) => {
                check(&entry.key, is_function)?;
                check(&entry.value, is_function)
            }
            EntryExpr::StructField(field) => check(&field.value, is_function),
        }),
        Expr::Select(select) => check(&select.operand, is_function),
        Expr::Struct(message) => Err(ExpressionError::Message {
            name: message.type_name.clone(),
        }),
        Expr::Unspecified => Err(ExpressionError::Parser),
        Expr::Ident(_) | Expr::Literal(_) => Ok(()),
    }
}

/// Returns a bound of what the expression costs on this object; None where it is too much.
pub(super) fn within(expression: &IdedExpr, object: &Value) -> Option<f64> {
    let mut longest = 1.0;
    let size = measure(object, &mut longest);
    let mut scope = Scope {
        whole: Weight {
            size,
            mean: size,
            items: longest,
            longest,
        },
        names: Vec::new(),
        cost: 0.0,
    };
    scope.weigh(expression);
    (scope.cost <= MOST).then_some(scope.cost)
}

/// How large a value can be.
#[derive(Clone, Copy)]
struct Weight {
    /// Largest size: nodes, and 16 bytes of text as one.
    size: f64,
    /// Size where all rounds of a loop together are counted: the elements of a list are together as large as the list.
    mean: f64,
    /// Items, if it is a list or a map.
    items: f64,
    /// Items of the longest list or map in it.
    longest: f64,
}

impl Weight {
    fn flat(size: f64) -> Self {
        Self {
            size,
            mean: size,
            items: 1.0,
            longest: 1.0,
        }
    }

    /// Either of two.
    fn or(self, other: Self) -> Self {
        Self {
            size: self.size.max(other.size),
            mean: self.mean.max(other.mean),
            items: self.items.max(other.items),
            longest: self.longest.max(other.longest),
        }
    }

    /// Both together.
    fn and(self, other: Self) -> Self {
        let items = self.items + other.items;
        Self {
            size: self.size + other.size,
            mean: self.mean + other.mean,
            items,
            longest: items.max(self.longest).max(other.longest),
        }
    }
}

struct Scope<'a> {
    whole: Weight,
    names: Vec<(&'a str, Weight)>,
    cost: f64,
}

impl<'a> Scope<'a> {
    fn weigh(&mut self, expression: &'a IdedExpr) -> Weight {
        self.cost += 1.0;
        match &expression.expr {
            Expr::Literal(literal) => Weight::flat(literal_size(literal)),
            Expr::Ident(name) => {
                let known = self.names.iter().rev().find(|(known, _)| known == name);
                let weight = known.map_or(self.whole, |(_, weight)| *weight);
                // A variable is copied when it is read.
                self.cost += weight.mean;
                weight
            }
            Expr::Select(select) => {
                let operand = self.weigh(&select.operand);
                if select.test {
                    Weight::flat(1.0)
                } else {
                    Weight {
                        items: operand.longest,
                        ..operand
                    }
                }
            }
            Expr::List(list) => {
                let items: Vec<_> = list.elements.iter().map(|item| self.weigh(item)).collect();
                self.collect(&items)
            }
            Expr::Map(map) => {
                let mut items = Vec::new();
                for entry in &map.entries {
                    match &entry.expr {
                        EntryExpr::MapEntry(entry) => {
                            items.push(self.weigh(&entry.key));
                            items.push(self.weigh(&entry.value));
                        }
                        EntryExpr::StructField(field) => items.push(self.weigh(&field.value)),
                    }
                }
                self.collect(&items)
            }
            Expr::Call(call) => self.call(call),
            Expr::Comprehension(comprehension) => self.comprehension(comprehension),
            Expr::Struct(_) | Expr::Unspecified => Weight::flat(1.0),
        }
    }

    fn collect(&mut self, items: &[Weight]) -> Weight {
        let count = u32::try_from(items.len()).map_or(f64::MAX, f64::from);
        let weight = Weight {
            size: 1.0 + items.iter().map(|item| item.size).sum::<f64>(),
            mean: 1.0 + items.iter().map(|item| item.mean).sum::<f64>(),
            items: count,
            longest: items.iter().map(|item| item.longest).fold(count, f64::max),
        };
        self.cost += weight.mean;
        weight
    }

    fn call(&mut self, call: &'a CallExpr) -> Weight {
        let weights: Vec<_> = call
            .target
            .iter()
            .map(|target| &**target)
            .chain(&call.args)
            .map(|part| self.weigh(part))
            .collect();
        let product: f64 = weights.iter().map(|weight| weight.size + 1.0).product();
        let together = weights
            .iter()
            .copied()
            .reduce(Weight::and)
            .unwrap_or(Weight::flat(1.0));
        let name = call.func_name.as_str();
        let is_in = |list: &[&str]| {
            list.iter()
                .any(|known| known.rsplit('.').next() == Some(name))
        };
        self.cost += together.mean;
        if is_in(PAIRWISE) {
            self.cost += product;
        }
        if is_in(PATTERNS) {
            self.cost += PATTERN + product;
        }
        if is_in(GROWING) {
            self.cost += product;
            return Weight {
                size: product,
                mean: product,
                items: product,
                longest: product,
            };
        }
        match name {
            "_?_:_" => weights
                .iter()
                .skip(1)
                .copied()
                .reduce(Weight::or)
                .unwrap_or(together),
            "_[_]" | "_[?_]" | "_?._" => weights.first().map_or(together, |list| Weight {
                items: list.longest,
                ..*list
            }),
            "_+_" => together,
            // Comparisons and logic give a flag.
            operator if operator.starts_with(['_', '@', '!']) => Weight::flat(1.0),
            _ => Weight {
                items: together.longest,
                ..together
            },
        }
    }

    fn comprehension(&mut self, comprehension: &'a ComprehensionExpr) -> Weight {
        let range = self.weigh(&comprehension.iter_range);
        let start = self.weigh(&comprehension.accu_init);
        let rounds = range.items.max(1.0);
        let element = Weight {
            size: range.size,
            mean: range.mean / rounds + 1.0,
            items: range.longest,
            longest: range.longest,
        };
        let known = self.names.len();
        self.names.push((&comprehension.iter_var, element));
        if let Some(second) = &comprehension.iter_var2 {
            self.names.push((second, element));
        }
        self.names.push((&comprehension.accu_var, start));
        let before = self.cost;
        self.weigh(&comprehension.loop_cond);
        let step = self.weigh(&comprehension.loop_step);
        self.cost = before + (self.cost - before) * rounds;
        let grows = |start: f64, step: f64| start + (step - start).max(0.0) * rounds;
        let size = grows(start.mean, step.mean);
        let items = grows(start.items, step.items);
        let gathered = Weight {
            size,
            mean: size,
            items,
            longest: items.max(step.longest),
        };
        // What is gathered is copied in each round.
        self.cost += size * if items > 1.0 { rounds } else { 1.0 };
        self.names.truncate(known);
        self.names.push((&comprehension.accu_var, gathered));
        let result = self.weigh(&comprehension.result);
        self.names.truncate(known);
        result
    }
}

fn parts(comprehension: &ComprehensionExpr) -> [&IdedExpr; 5] {
    [
        &comprehension.iter_range,
        &comprehension.accu_init,
        &comprehension.loop_cond,
        &comprehension.loop_step,
        &comprehension.result,
    ]
}

/// Returns the name by which the evaluator looks a function up: `sets.contains` where there is such a one.
fn qualified(call: &CallExpr, is_function: &dyn Fn(&str) -> bool) -> String {
    if let Some(Expr::Ident(prefix)) = call.target.as_ref().map(|target| &target.expr) {
        let name = format!("{prefix}.{}", call.func_name);
        if is_word(&call.func_name) && is_function(&name) {
            return name;
        }
    }
    call.func_name.clone()
}

/// Says whether the name is a function's and not an operator's.
fn is_word(name: &str) -> bool {
    name.starts_with(|character: char| character.is_ascii_alphabetic())
}

fn literal_size(literal: &LiteralValue) -> f64 {
    match literal {
        LiteralValue::String(text) => text_size(text.inner().len()),
        LiteralValue::Bytes(bytes) => text_size(bytes.inner().len()),
        LiteralValue::Boolean(_)
        | LiteralValue::Double(_)
        | LiteralValue::Int(_)
        | LiteralValue::Null
        | LiteralValue::UInt(_) => 1.0,
    }
}

fn text_size(bytes: usize) -> f64 {
    1.0 + u32::try_from(bytes / 16).map_or(f64::MAX, f64::from)
}

fn measure(value: &Value, longest: &mut f64) -> f64 {
    let mut count = |items: usize| {
        *longest = longest.max(u32::try_from(items).map_or(f64::MAX, f64::from));
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 1.0,
        Value::String(text) => text_size(text.len()),
        Value::Array(items) => {
            count(items.len());
            1.0 + items.iter().map(|item| measure(item, longest)).sum::<f64>()
        }
        Value::Object(map) => {
            count(map.len());
            1.0 + map
                .iter()
                .map(|(key, item)| text_size(key.len()) + measure(item, longest))
                .sum::<f64>()
        }
    }
}
