//! A scope is a set with one text.

use proptest::prelude::*;
use protocol::oauth::{Scope, ScopeToken};

fn scope() -> impl Strategy<Value = Scope> {
    // Few letters, so that the sets meet.
    prop::collection::vec("[a-c][a-b:!#~]{0,1}", 0..12)
        .prop_map(|tokens| tokens.iter().map(|token| ScopeToken::parse(token).unwrap()).collect())
}

proptest! {
    #[test]
    fn printed_and_read_again_it_is_the_same(scope in scope()) {
        prop_assert_eq!(&Scope::parse(&scope.to_string()).unwrap(), &scope);
        let json = serde_json::to_string(&scope).unwrap();
        prop_assert_eq!(serde_json::from_str::<Scope>(&json).unwrap(), scope);
    }

    #[test]
    fn order_and_repetition_do_not_matter(scope in scope(), seed in any::<prop::sample::Index>()) {
        let mut tokens: Vec<&str> = scope.iter().map(ScopeToken::as_str).collect();
        if !tokens.is_empty() {
            let turn = seed.index(tokens.len());
            tokens.rotate_left(turn);
            tokens.push(tokens[0]);
        }
        prop_assert_eq!(Scope::parse(&tokens.join(" ")).unwrap(), scope);
    }

    #[test]
    fn union_and_intersection_are_those_of_sets(a in scope(), b in scope(), c in scope()) {
        prop_assert_eq!(a.union(&b), b.union(&a));
        prop_assert_eq!(a.intersection(&b), b.intersection(&a));
        prop_assert_eq!(a.union(&b).union(&c), a.union(&b.union(&c)));
        prop_assert_eq!(a.intersection(&b.union(&c)), a.intersection(&b).union(&a.intersection(&c)));
        prop_assert_eq!(&a.union(&a.intersection(&b)), &a);
        prop_assert_eq!(&a.difference(&b).union(&a.intersection(&b)), &a);
        prop_assert!(a.difference(&b).intersection(&b).is_empty());
        prop_assert_eq!(a.union(&Scope::default()), a);
    }

    #[test]
    fn a_subset_is_what_the_union_swallows(a in scope(), b in scope()) {
        prop_assert_eq!(a.is_subset(&b), a.union(&b) == b);
        prop_assert_eq!(a.is_subset(&b), a.iter().all(|token| b.contains(token.as_str())));
        prop_assert!(a.intersection(&b).is_subset(&a) && a.is_subset(&a.union(&b)));
    }

    #[test]
    fn whatever_is_read_keeps_to_the_alphabet(text in "[ -~\u{80}-\u{ff}\r\n]{0,40}") {
        if let Ok(scope) = Scope::parse(&text) {
            prop_assert!(scope.to_string().bytes().all(|b| matches!(b, 0x20 | 0x21 | 0x23..=0x5B | 0x5D..=0x7E)));
            prop_assert!(!text.contains("  ") && !text.starts_with(' ') && !text.ends_with(' '));
        }
    }
}
