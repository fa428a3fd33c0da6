//! Arguments that cannot be judged: what counts then, held against Cedar with the policies as they are read then.

use super::*;

/// With arguments that cannot be judged a policy that looks at them is taken at its head, against the caller.
fn feared(policy: &str) -> Option<String> {
    let Some((head, condition)) = policy.split_once(" when ").or_else(|| policy.split_once(" unless "))
    else {
        return Some(policy.to_owned());
    };
    match (condition.contains("arguments"), head.starts_with("forbid")) {
        (false, _) => Some(policy.to_owned()),
        (true, true) => Some(format!("{head};")),
        (true, false) => None,
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// The policies that do not look at arguments are not feared, and what they say is remembered beside what is.
    #[test]
    fn arguments_that_cannot_be_judged_change_no_other_answer(
        policies in prop::collection::vec(policy(), 0..12),
        asks in prop::collection::vec(ask(), 1..8),
    ) {
        let library = library(&numbered(&policies), true);
        let feared: String = policies.iter().enumerate().filter_map(|(index, policy)| {
            Some(format!("@id(\"p{index}\") {}\n", feared(policy)?))
        }).collect();
        let set: PolicySet = feared.parse().unwrap();
        for ask in asks.iter().chain(&asks).filter(|ask| ask.method == "tools/call") {
            let unfit = Ask { arguments: Some(r#"{"amount":1,"amount":9}"#), ..ask.clone() };
            let without = Ask { arguments: None, ..ask.clone() };
            let sliced = unfit.verdict(&library.concerning(ask.server));
            prop_assert_eq!(sliced, without.reference(&set, DECLARED), "{:?}", unfit);
        }
    }
}
