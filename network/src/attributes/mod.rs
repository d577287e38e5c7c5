//! Attributes: what the resources of Networking are described by.
//!
//! An attribute is one line of a [`resource!`](crate::resource!): its name on the wire, what it may be, whether it can be
//! given and changed, what it is otherwise, whether lists are filtered and sorted by it, and which rules of the policy it
//! asks for. From the lines follow the model, its table, the reading of bodies, their refusals, lists and answers.

pub(crate) mod checks;

use jiff::Timestamp;
use novella_common::db::{Kind, list::SortKey};
use novella_rest::{ApiError, policy::Rule};
use serde::de::DeserializeOwned;
use serde_json::{Map, Value};

use self::checks::Check;
use crate::resource::View;

/// What an attribute is that was not given.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Otherwise {
    /// It must be given.
    Required,
    /// Null, or what the resource makes of it.
    Null,
    Text(&'static str),
    Flag(bool),
    Int(i64),
    /// An empty list.
    List,
    /// An empty object.
    Object,
}

impl Otherwise {
    /// The value.
    pub(crate) fn value(self) -> Value {
        match self {
            Self::Required | Self::Null => Value::Null,
            Self::Text(text) => text.into(),
            Self::Flag(flag) => flag.into(),
            Self::Int(number) => number.into(),
            Self::List => Value::Array(Vec::new()),
            Self::Object => Value::Object(Map::new()),
        }
    }
}

/// How a list is sorted by an attribute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Sorting {
    Never,
    Plain,
    /// Its column can be NULL.
    Nullable,
}

/// An attribute of a resource.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Attribute {
    pub(crate) name: &'static str,
    pub(crate) check: Check,
    /// Whether it can be given with a new one.
    pub(crate) post: bool,
    /// Whether it can be changed.
    pub(crate) put: bool,
    pub(crate) filter: bool,
    pub(crate) sort: Sorting,
    /// Whether clients see it.
    pub(crate) shown: bool,
    pub(crate) otherwise: Otherwise,
    /// The rules that ask who may give it, change it and see it.
    pub(crate) creating: Option<Rule>,
    pub(crate) updating: Option<Rule>,
    pub(crate) seeing: Option<Rule>,
}

/// An attribute that clients see and nothing else.
pub(crate) const fn attribute(name: &'static str, check: Check) -> Attribute {
    Attribute {
        name,
        check,
        post: false,
        put: false,
        filter: false,
        sort: Sorting::Never,
        shown: true,
        otherwise: Otherwise::Null,
        creating: None,
        updating: None,
        seeing: None,
    }
}

impl Attribute {
    /// It must be given with a new one.
    pub(crate) const fn required(mut self) -> Self {
        self.post = true;
        self.otherwise = Otherwise::Required;
        self
    }

    /// It can be given with a new one, and is this otherwise.
    pub(crate) const fn given_or(mut self, otherwise: Otherwise) -> Self {
        self.post = true;
        self.otherwise = otherwise;
        self
    }

    /// Nobody gives it; it begins as this.
    pub(crate) const fn begins(mut self, otherwise: Otherwise) -> Self {
        self.otherwise = otherwise;
        self
    }

    /// It can be changed.
    pub(crate) const fn changed(mut self) -> Self {
        self.put = true;
        self
    }

    /// Lists can be filtered by it.
    pub(crate) const fn filter(mut self) -> Self {
        self.filter = true;
        self
    }

    /// Lists can be sorted by it.
    pub(crate) const fn sort(mut self) -> Self {
        self.sort = Sorting::Plain;
        self
    }

    /// Lists can be sorted by it, and its column can be NULL.
    pub(crate) const fn sort_nullable(mut self) -> Self {
        self.sort = Sorting::Nullable;
        self
    }

    /// Clients don't see it.
    pub(crate) const fn hidden(mut self) -> Self {
        self.shown = false;
        self
    }

    /// Who may give it with a new one, where that is more than to make one.
    pub(crate) const fn creating(mut self, rule: Rule) -> Self {
        self.creating = Some(rule);
        self
    }

    /// Who may change it, where that is more than to change one.
    pub(crate) const fn updating(mut self, rule: Rule) -> Self {
        self.updating = Some(rule);
        self
    }

    /// Who may see it.
    pub(crate) const fn seeing(mut self, rule: Rule) -> Self {
        self.seeing = Some(rule);
        self
    }
}

/// An attribute that is a column.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Field {
    pub(crate) attribute: Attribute,
    pub(crate) column: &'static str,
    pub(crate) kind: Kind,
}

impl Field {
    /// What lists are sorted by.
    pub(crate) fn sort_key(&self) -> Option<SortKey> {
        let key = match self.kind {
            Kind::Text => SortKey::text(self.column),
            Kind::Int => SortKey::int(self.column),
            Kind::Bool => SortKey::boolean(self.column),
            Kind::Time => SortKey::time(self.column),
            Kind::Uuid | Kind::Json => return None,
        };
        match self.attribute.sort {
            Sorting::Never => None,
            Sorting::Plain => Some(key),
            Sorting::Nullable => Some(key.nullable()),
        }
    }
}

/// What every row has beside its attributes.
#[derive(Clone, Debug)]
pub(crate) struct Base {
    pub(crate) id: String,
    pub(crate) project_id: String,
    pub(crate) now: Timestamp,
    pub(crate) revision_number: i64,
}

/// A model that [`resource!`](crate::resource!) has made.
pub(crate) trait Fields: Sized {
    /// Its columns.
    const FIELDS: &'static [Field];

    fn id(&self) -> &str;
    fn project_id(&self) -> &str;
    fn times(&self) -> (Timestamp, Timestamp);
    fn revision_number(&self) -> i64;
    /// One revision more, now.
    fn bump(&mut self, now: Timestamp);
    /// A new one with these values.
    ///
    /// # Errors
    /// A value that its check let pass and that the model can't hold: a defect.
    fn from_values(base: Base, values: &Map<String, Value>) -> Result<Self, ApiError>;
    /// Sets one attribute.
    ///
    /// # Errors
    /// As [`Fields::from_values`].
    fn assign(&mut self, name: &str, value: Value) -> Result<(), ApiError>;
    /// The values of all attributes that clients see.
    fn values(&self) -> View<'_>;
}

/// A value of a body as the model has it. What it may be has been checked, so what can't be read is a defect.
pub(crate) fn read<T: DeserializeOwned>(name: &str, value: &Value) -> Result<T, ApiError> {
    T::deserialize(value).map_err(|error| {
        tracing::error!(attribute = name, %error, "a value that was checked can't be read");
        ApiError::Broken
    })
}

/// Describes a resource: its model, with a line for each attribute that is a column.
///
/// A line is `field: Type = attribute("name on the wire", check)...;`, or `field: Type [Json] = ...;` for what is kept as
/// JSON. Every model has an id, a project, a revision and two times beside them.
#[macro_export]
macro_rules! resource {
    (
        $(#[$meta:meta])*
        struct $model:ident in $table:literal {
            $($(#[$doc:meta])* $field:ident: $type:ty $([$wrapper:ident])? = $attribute:expr;)+
        }
    ) => {
        $(#[$meta])*
        #[derive(Clone, Debug, PartialEq)]
        pub(crate) struct $model {
            pub(crate) id: String,
            pub(crate) project_id: String,
            $($(#[$doc])* pub(crate) $field: $type,)+
            pub(crate) revision_number: i64,
            pub(crate) created_at: ::jiff::Timestamp,
            pub(crate) updated_at: ::jiff::Timestamp,
        }

        ::novella_common::table! {
            $model in $table, key text "id";
            id,
            project_id,
            $($field $(as $wrapper)?,)+
            revision_number,
            created_at,
            updated_at,
        }

        impl $crate::attributes::Fields for $model {
            const FIELDS: &'static [$crate::attributes::Field] = &[$(
                $crate::attributes::Field {
                    attribute: $attribute,
                    column: stringify!($field),
                    kind: $crate::resource!(@kind $type $(, $wrapper)?),
                }
            ),+];

            fn id(&self) -> &str {
                &self.id
            }

            fn project_id(&self) -> &str {
                &self.project_id
            }

            fn times(&self) -> (::jiff::Timestamp, ::jiff::Timestamp) {
                (self.created_at, self.updated_at)
            }

            fn revision_number(&self) -> i64 {
                self.revision_number
            }

            fn bump(&mut self, now: ::jiff::Timestamp) {
                self.revision_number += 1;
                self.updated_at = now;
            }

            fn from_values(
                base: $crate::attributes::Base,
                values: &::serde_json::Map<String, ::serde_json::Value>,
            ) -> Result<Self, ::novella_rest::ApiError> {
                Ok(Self {
                    id: base.id,
                    project_id: base.project_id,
                    $($field: {
                        const NAME: &str = $attribute.name;
                        let otherwise = $attribute.otherwise.value();
                        // Null, where it is let pass, is as if nothing had been said.
                        let given = values.get(NAME).filter(|value| !value.is_null());
                        $crate::attributes::read(NAME, given.unwrap_or(&otherwise))?
                    },)+
                    revision_number: base.revision_number,
                    created_at: base.now,
                    updated_at: base.now,
                })
            }

            fn assign(&mut self, name: &str, value: ::serde_json::Value) -> Result<(), ::novella_rest::ApiError> {
                $(if name == $attribute.name {
                    self.$field = $crate::attributes::read(name, &value)?;
                    return Ok(());
                })+
                Ok(())
            }

            fn values(&self) -> $crate::resource::View<'_> {
                // With what every thing has beside them.
                let mut values = $crate::resource::View::with_capacity(Self::FIELDS.len() + 16);
                $(if const { $attribute.shown } {
                    values.add(const { $attribute.name }, $crate::resource::Show::show(&self.$field));
                })+
                values
            }
        }
    };

    (@kind $type:ty, Json) => { ::novella_common::db::Kind::Json };
    (@kind $type:ty) => { <$type as ::novella_common::db::Bind>::KIND };
}
