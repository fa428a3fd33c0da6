//! The macro in which every section of the configuration is declared.
//!
//! A setting is written once: its documentation, name, type, default, what is allowed and how it is
//! read. `docs/configuration.md` and the JSON Schema are printed from the same lines, so they cannot say anything else.

/// One setting, as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SettingReference {
    /// The key.
    pub key: &'static str,
    /// What is used when it is left out: TOML, `required` or `optional`.
    pub default: &'static str,
    /// What may be written.
    pub allowed: &'static str,
    /// How the value is written.
    pub written: super::written::Written,
    /// The documentation, line by line.
    pub doc: &'static [&'static str],
    /// Whether the reader takes a value: the schema is held against it.
    #[cfg(test)]
    pub takes: fn(&toml::de::DeValue<'_>) -> bool,
}

/// One table of the configuration, as the reference shows it.
#[derive(Clone, Copy, Debug)]
pub(super) struct SectionReference {
    /// How the table is written, as in `[tokens]`; empty for the top of the file.
    pub header: &'static str,
    /// The documentation, line by line.
    pub doc: &'static [&'static str],
    /// Its settings in the order of declaration.
    pub settings: &'static [SettingReference],
}

/// Declares one section: a struct, its reader, and its reference.
macro_rules! settings {
    (
        $(#[doc = $section_doc:literal])*
        $name:ident = $header:literal {
            $(
                $(#[doc = $doc:literal])*
                $field:ident: $type:ty = $default:tt, $allowed:literal, $parse:expr;
            )*
        }
    ) => {
        $(#[doc = $section_doc])*
        #[derive(Clone, Debug, PartialEq)]
        pub struct $name {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl $name {
            /// What `docs/configuration.md` says of this section.
            pub(super) const REFERENCE: $crate::config::settings::SectionReference =
                $crate::config::settings::SectionReference {
                    header: $header,
                    doc: &[$($section_doc),*],
                    settings: &[$(
                        $crate::config::settings::SettingReference {
                            key: stringify!($field),
                            default: $crate::config::settings::settings!(@text $default),
                            allowed: $allowed,
                            written: <$type as $crate::config::written::AsWritten>::WRITTEN,
                            doc: &[$($doc),*],
                            #[cfg(test)]
                            takes: |value: &toml::de::DeValue<'_>| ($parse)(value).is_ok(),
                        },
                    )*],
                };

            /// Reads the section; `None` when a mistake was recorded.
            pub(super) fn read(section: &mut $crate::config::reader::Section<'_>) -> Option<Self> {
                $( let $field = $crate::config::settings::settings!(
                    @read section, stringify!($field), $allowed, $parse, $default
                ); )*
                Some(Self { $( $field: $field?, )* })
            }
        }
    };
    (@text required) => { "required" };
    (@text optional) => { "optional" };
    (@text $default:literal) => { $default };
    (@read $section:ident, $key:expr, $allowed:literal, $parse:expr, required) => {
        $section.required($key, $allowed, $parse)
    };
    (@read $section:ident, $key:expr, $allowed:literal, $parse:expr, optional) => {
        $section.optional($key, $allowed, $parse)
    };
    (@read $section:ident, $key:expr, $allowed:literal, $parse:expr, $default:literal) => {
        $section.defaulted($key, $allowed, $parse, $default)
    };
}
pub(crate) use settings;
