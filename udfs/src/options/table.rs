//! The macro behind the table of options.

/// Makes `TamisOptions` (a typed field and getter an option), `DEFINITIONS` and the setter from one table.
macro_rules! options {
    ($($name:ident: $kind:ty = $key:literal, $default:expr, $doc:literal;)*) => {
        /// What is said of an option without its value.
        #[derive(Debug)]
        struct Definition {
            key: &'static str,
            accepted: &'static str,
            doc: &'static str,
        }

        const DEFINITIONS: &[Definition] = &[$(Definition {
            key: $key,
            accepted: <$kind as value::OptionValue>::ACCEPTED,
            doc: $doc,
        }),*];

        /// The `tamis.*` options of a session.
        #[derive(Debug, Clone, PartialEq, Eq)]
        pub struct TamisOptions {
            $($name: $kind,)*
            models: BTreeMap<String, String>,
            reach: Reach,
        }

        impl Default for TamisOptions {
            fn default() -> Self {
                Self { $($name: $default,)* models: BTreeMap::new(), reach: Reach::everything() }
            }
        }

        impl TamisOptions {
            $(#[doc = concat!($doc, ".")]
            pub fn $name(&self) -> $kind {
                Clone::clone(&self.$name)
            })*

            /// Sets an option of the table. `None`: there is no such key; an error: what is accepted.
            fn set_defined(&mut self, key: &str, value: &str) -> Option<Result<(), &'static str>> {
                match key {
                    $($key => Some(match <$kind as value::OptionValue>::parse(value) {
                        Some(parsed) => {
                            self.$name = parsed;
                            Ok(())
                        }
                        None => Err(<$kind as value::OptionValue>::ACCEPTED),
                    }),)*
                    _ => None,
                }
            }

            /// The values in the table's order.
            fn shown(&self) -> Vec<String> {
                vec![$(value::OptionValue::show(&self.$name)),*]
            }
        }
    };
}

pub(super) use options;
