//! What a knowledgeable colleague would notice: rules over facts, each with the numbers it rests on and what to do.
//!
//! Not here: where the facts come from.

mod facts;
mod naming;
mod rules;
mod services;

pub use facts::{Facts, MasterFacts, ShardFacts, StuckMethod};
pub use rules::{Finding, RULES, Severity};

/// What is said when nothing deserves attention.
pub const ALL_WELL: &str = "All is well: nothing deserves attention.";

/// What deserves attention, the worst first.
#[must_use]
pub fn examine(facts: &Facts) -> Vec<Finding> {
    let mut findings: Vec<Finding> = RULES
        .iter()
        .filter_map(|rule| rule.examine(facts))
        .collect();
    findings.sort_by_key(|finding| std::cmp::Reverse(finding.severity));
    findings
}

/// The same as texts; one of them when all is well.
#[must_use]
pub fn texts(facts: &Facts) -> Vec<String> {
    let findings = examine(facts);
    if findings.is_empty() {
        return vec![ALL_WELL.to_owned()];
    }
    findings.into_iter().map(|finding| finding.text).collect()
}

#[cfg(test)]
mod tests;
