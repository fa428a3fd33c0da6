//! Values of the registries of OAuth and OpenID: each a closed list, read exactly as it is written.

/// Declares one such value with its texts: an enum with `ALL`, `parse`, `as_str` and `Serialize`, and the test that no
/// other spelling is read.
macro_rules! registered_values {
    (
        $(#[doc = $doc:literal])+
        $name:ident { $($(#[doc = $variant_doc:literal])+ $variant:ident = $text:literal,)+ }
    ) => {
        $(#[doc = $doc])+
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[doc = $variant_doc])+ $variant,)+
        }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// Reads the registered value.
            #[must_use]
            pub fn parse(text: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|known| known.as_str() == text)
            }

            /// The registered value.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $text,)+
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        #[cfg(test)]
        mod tests {
            use super::*;

            #[test]
            fn a_value_is_read_as_it_is_written_and_in_no_other_way() {
                for known in $name::ALL {
                    assert_eq!($name::parse(known.as_str()), Some(*known));
                    assert_eq!($name::parse(&known.as_str().to_ascii_uppercase()), None);
                    assert_eq!($name::parse(&format!("{} ", known.as_str())), None);
                }
                assert_eq!($name::parse(""), None);
            }
        }
    };
}
pub(super) use registered_values;
