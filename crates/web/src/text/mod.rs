//! The texts of the pages: one catalogue per language, all of the same type, so that a text that is missing in one
//! of them does not compile (product.md, P-21; pages.md, "Voice").
//!
//! Texts are whole sentences with named slots, because languages order them differently. What goes into a slot is
//! escaped by the template, always.

mod en;
mod ja;
mod trouble;

use std::time::Duration;

use http::{HeaderMap, header};

pub(crate) use trouble::{Trouble, TroubleText, Troubles};

/// A language that pages are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Language {
    /// English.
    #[default]
    English,
    /// Japanese.
    Japanese,
}

impl Language {
    const ALL: [Self; 2] = [Self::English, Self::Japanese];

    /// Its tag (RFC 5646), for `lang` and `Content-Language`.
    pub(crate) const fn tag(self) -> &'static str {
        match self {
            Self::English => "en",
            Self::Japanese => "ja",
        }
    }

    /// Its catalogue.
    pub(crate) const fn text(self) -> &'static Text {
        match self {
            Self::English => &en::TEXT,
            Self::Japanese => &ja::TEXT,
        }
    }

    /// The one that the browser likes best of those we have (RFC 9110, section 12.5.4).
    pub(crate) fn of(headers: &HeaderMap) -> Self {
        let values = headers.get_all(header::ACCEPT_LANGUAGE).iter().filter_map(|value| value.to_str().ok());
        let wanted = values.flat_map(|value| value.split(',')).filter_map(wish);
        let known = wanted.filter_map(|(tag, quality)| Some((Self::named(tag)?, quality)));
        // The first of equals wins, as browsers list the best first.
        let best = known.fold(None, |best: Option<(Self, u16)>, (language, quality)| match best {
            Some((_, so_far)) if so_far >= quality => best,
            Some(_) | None => (quality > 0).then_some((language, quality)).or(best),
        });
        best.map_or_else(Self::default, |(language, _)| language)
    }

    /// The language of a tag, by its first part: `en-GB` is English.
    fn named(tag: &str) -> Option<Self> {
        let primary = tag.split('-').next().unwrap_or_default();
        Self::ALL.into_iter().find(|language| language.tag().eq_ignore_ascii_case(primary))
    }
}

/// One `language-range` with its quality in thousandths.
fn wish(item: &str) -> Option<(&str, u16)> {
    let (tag, parameters) = item.split_once(';').unwrap_or((item, ""));
    let quality = match parameters.trim().strip_prefix("q=") {
        None => 1000,
        Some(text) => {
            let value: f32 = text.parse().ok().filter(|value| (0.0..=1.0).contains(value))?;
            // In range by the line above.
            #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 0 and 1000")]
            let thousandths = (value * 1000.0).round() as u16;
            thousandths
        }
    };
    Some((tag.trim(), quality))
}

/// One catalogue. `{slots}` are filled by [`fill`].
#[derive(Debug)]
pub(crate) struct Text {
    pub(crate) skip: &'static str,
    pub(crate) reference: &'static str,

    pub(crate) wants_to_use: &'static str,
    pub(crate) nameless_wants_to_use: &'static str,
    pub(crate) at_address: &'static str,
    pub(crate) unverified_name: &'static str,
    pub(crate) unverified_nameless: &'static str,
    pub(crate) vouched_by_operator: &'static str,
    pub(crate) vouched_by_host: &'static str,
    pub(crate) nameless_vouched_by_host: &'static str,
    pub(crate) published_at: &'static str,
    pub(crate) any_program_here: &'static str,
    pub(crate) any_application_here: &'static str,
    pub(crate) in_letters: &'static str,
    pub(crate) on_this_computer: &'static str,
    pub(crate) at_a_host: &'static str,
    pub(crate) behind_a_scheme: &'static str,

    pub(crate) login_title: &'static str,
    pub(crate) login_lead: &'static str,
    pub(crate) login_address: &'static str,
    pub(crate) login_next: &'static str,
    pub(crate) login_continue: &'static str,
    pub(crate) login_not_admitted: &'static str,
    pub(crate) login_not_you: &'static str,

    pub(crate) approval_title: &'static str,
    pub(crate) approval_lead: &'static str,
    pub(crate) approval_how: &'static str,
    pub(crate) approval_wait: &'static str,
    pub(crate) approval_again: &'static str,

    pub(crate) development_title: &'static str,
    pub(crate) development_lead: &'static str,
    pub(crate) development_field: &'static str,
    pub(crate) development_submit: &'static str,

    pub(crate) on_a_device: &'static str,
    pub(crate) device_title: &'static str,
    pub(crate) device_lead: &'static str,
    pub(crate) device_field: &'static str,
    pub(crate) device_compare: &'static str,
    pub(crate) device_beware: &'static str,
    pub(crate) device_submit: &'static str,
    pub(crate) device_allowed: &'static str,
    pub(crate) device_allowed_now: &'static str,
    pub(crate) device_denied: &'static str,
    pub(crate) device_denied_now: &'static str,

    pub(crate) connect_title: &'static str,
    pub(crate) connect_lead: &'static str,
    pub(crate) connect_scopes: &'static str,
    pub(crate) connect_no_scopes: &'static str,
    pub(crate) connect_beware: &'static str,
    pub(crate) connect_submit: &'static str,
    pub(crate) connections_title: &'static str,
    pub(crate) connections_lead: &'static str,
    pub(crate) connections_none: &'static str,
    pub(crate) connections_done: &'static str,
    pub(crate) connection_allowed: &'static str,
    pub(crate) connection_missing: &'static str,
    pub(crate) connection_account: &'static str,
    pub(crate) connection_made: &'static str,
    pub(crate) connection_rotated: &'static str,
    pub(crate) connection_expires: &'static str,
    pub(crate) connection_lasts: &'static str,
    pub(crate) connection_dead: &'static str,
    pub(crate) connection_again: &'static str,
    pub(crate) connection_end: &'static str,

    pub(crate) emergency_title: &'static str,
    pub(crate) emergency_lead: &'static str,
    pub(crate) emergency_field: &'static str,

    pub(crate) consent_title: &'static str,
    pub(crate) consent_somebody_else: &'static str,
    pub(crate) consent_able_to: &'static str,
    pub(crate) consent_further: &'static str,
    pub(crate) consent_further_lead: &'static str,
    pub(crate) consent_further_all: &'static str,
    pub(crate) consent_return: &'static str,
    pub(crate) consent_how_long: &'static str,
    pub(crate) consent_lifetime: &'static str,
    pub(crate) consent_life: &'static str,
    pub(crate) consent_life_longest: &'static str,
    pub(crate) consent_cancel: &'static str,
    pub(crate) consent_allow: &'static str,
    pub(crate) scope_read: &'static str,
    pub(crate) scope_write: &'static str,
    pub(crate) duration: fn(Duration) -> String,

    pub(crate) trouble_act_first: &'static str,
    pub(crate) troubles: Troubles,

    pub(crate) index_title: &'static str,
    pub(crate) index_lead: &'static str,
    pub(crate) index_empty: &'static str,
    pub(crate) index_by_command: &'static str,
    pub(crate) index_connections: &'static str,
    pub(crate) index_how: &'static str,
    pub(crate) index_steps: [&'static str; 3],
}

/// A piece of a sentence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Piece {
    /// Whether it was put into a slot: it is then set apart in the page, so that its direction of writing cannot
    /// turn the sentence around.
    pub(crate) slot: bool,
    pub(crate) text: String,
}

/// Puts values into the slots of a sentence. A slot without a value, and a value without a slot, vanish.
pub(crate) fn fill(sentence: &str, values: &[(&str, &str)]) -> Vec<Piece> {
    let mut pieces = Vec::new();
    let mut rest = sentence;
    while let Some((before, after)) = rest.split_once('{') {
        let (name, tail) = after.split_once('}').unwrap_or((after, ""));
        let value = values.iter().find(|(known, _)| *known == name).map_or("", |(_, value)| value);
        pieces.push(Piece { slot: false, text: before.to_owned() });
        pieces.push(Piece { slot: true, text: value.to_owned() });
        rest = tail;
    }
    pieces.push(Piece { slot: false, text: rest.to_owned() });
    pieces.retain(|piece| !piece.text.is_empty());
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    fn negotiate(value: &'static str) -> Language {
        let mut headers = HeaderMap::new();
        headers.insert(header::ACCEPT_LANGUAGE, header::HeaderValue::from_static(value));
        Language::of(&headers)
    }

    #[test]
    fn every_wish_ends_in_a_language_that_there_is() {
        for value in
            ["", "en", "en-GB, de;q=0.9", "ja;q=0.4, en;q=0.5", "*", "q=;;,,", "en;q=7", "ja;q=0", "fr"]
        {
            assert_eq!(negotiate(value), Language::English, "{value}");
        }
        for value in ["ja", "ja-JP, en;q=0.5", "de, JA;q=0.3", "fr, ja, en", "en;q=0.2, ja-JP;q=0.9, *;q=0.1"]
        {
            assert_eq!(negotiate(value), Language::Japanese, "{value}");
        }
    }

    #[test]
    fn slots_are_filled_and_what_is_put_in_is_marked_as_such() {
        let pieces =
            fill("“{client}” wants to use {server}.", &[("server", "GitHub"), ("client", "<b>{server}")]);
        let texts: Vec<(bool, &str)> = pieces.iter().map(|piece| (piece.slot, piece.text.as_str())).collect();
        let expected =
            [(false, "“"), (true, "<b>{server}"), (false, "” wants to use "), (true, "GitHub"), (false, ".")];
        assert_eq!(texts, expected);
    }

    /// The names of the slots of a sentence, in no order.
    fn slots(sentence: &str) -> std::collections::BTreeSet<&str> {
        sentence.split('{').skip(1).filter_map(|rest| Some(rest.split_once('}')?.0)).collect()
    }

    #[test]
    fn a_sentence_has_the_same_slots_in_every_language() {
        let of = |text: &Text| {
            [
                text.reference,
                text.wants_to_use,
                text.nameless_wants_to_use,
                text.at_address,
                text.unverified_name,
                text.vouched_by_host,
                text.published_at,
                text.in_letters,
                text.on_this_computer,
                text.at_a_host,
                text.behind_a_scheme,
                text.login_continue,
                text.login_not_admitted,
                text.approval_lead,
                text.approval_wait,
                text.connect_title,
                text.connect_lead,
                text.connect_submit,
                text.consent_lifetime,
                text.trouble_act_first,
            ]
        };
        let english = of(Language::English.text());
        for language in Language::ALL {
            for (sentence, original) in of(language.text()).into_iter().zip(english) {
                assert!(!slots(sentence).is_empty(), "{sentence}");
                assert_eq!(slots(sentence), slots(original), "{sentence}");
            }
        }
    }

    #[test]
    fn every_trouble_says_what_happened_what_it_means_and_what_to_do() {
        for language in Language::ALL {
            for trouble in Trouble::ALL {
                let text = language.text().troubles.of(trouble);
                assert!(!text.happened.ends_with(['.', '。']), "{trouble:?}: a heading has no full stop");
                for sentence in [text.means, text.now] {
                    assert!(sentence.ends_with(['.', '。']), "{trouble:?}: {sentence}");
                    assert!(!sentence.contains(['!', '！']), "{trouble:?}: pages do not shout");
                }
            }
        }
    }
}
