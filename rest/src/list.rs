//! Lists, described by what can be asked of them, and read page by page in the database.
//!
//! ```
//! use novella_common::db::list::{Direction, SortKey};
//! use novella_rest::list::{ListDescription, PAGED, flag, matching, sort, text};
//!
//! static KEYPAIRS: ListDescription = ListDescription {
//!     filters: &[text("name", "name"), text("user_id", "user_id").since(10)],
//!     sort_keys: &[sort("name", SortKey::text("name"))],
//!     default_sort: &[(SortKey::text("name"), Direction::Ascending)],
//!     paging: &PAGED,
//!     marker: |_| None,
//!     no_marker: |marker| format!("marker [{marker}] not found"),
//! };
//! ```
//!
//! A filter or a sort key is one line. From the description follow the parameters that are known at each version, the
//! query of the database, the page and the link to the next one, and the OpenAPI document. What a filter can't say in a
//! line is [`own`]: known here, and made a condition by the handler.

use jiff::Timestamp;
use novella_common::db::{
    Connection, FromRow, Sql, Table,
    list::{Condition, Direction, Expression, List, SortKey},
};
use uuid::Uuid;

use crate::{
    ApiError, FieldRule, Microversion, Parameters, Request, field,
    paging::{NextLink, Page},
    times, truth,
};

/// What can be asked of a list.
#[derive(Debug)]
pub struct ListDescription {
    /// Parameters that narrow it down.
    pub filters: &'static [Filter],
    /// What it can be sorted by.
    pub sort_keys: &'static [Sort],
    /// The order where the query says none. Ties are broken by the table's key.
    pub default_sort: &'static [(SortKey, Direction)],
    /// `limit` and `marker`, with the versions that have them; in others the list has no pages.
    pub paging: &'static [FieldRule],
    /// The column by which a marker names a row at a version, where that is not the table's key.
    pub marker: fn(Microversion) -> Option<SortKey>,
    /// The text of a 400 for a marker that names nothing.
    pub no_marker: fn(&str) -> String,
}

/// The paging of a list that has had pages in every version.
pub const PAGED: [FieldRule; 2] = [field("limit"), field("marker")];

/// A parameter that narrows a list down.
#[derive(Clone, Copy, Debug)]
pub struct Filter {
    rule: FieldRule,
    kind: FilterKind,
    /// From which minor version on others than administrators may use it; for others it is ignored, as by Nova.
    for_others: u16,
    /// Whether it is a regular expression in Nova, where an empty one is none.
    regex: bool,
}

#[derive(Clone, Copy, Debug)]
enum FilterKind {
    Text(&'static str),
    Uuid(&'static str),
    Int(&'static str),
    AtLeast(&'static str),
    Flag(&'static str),
    Matching(SortKey),
    MatchingConstant(&'static str),
    Since(&'static str),
    Before(&'static str),
    Absent,
    Own,
}

macro_rules! filters {
    ($($(#[$doc:meta])* $name:ident = $kind:ident;)*) => {
        $(
            $(#[$doc])*
            #[must_use]
            pub const fn $name(name: &'static str, column: &'static str) -> Filter {
                Filter::new(name, FilterKind::$kind(column))
            }
        )*
    };
}

filters! {
    /// Rows whose column has this text.
    text = Text;
    /// Rows whose column has this UUID; what is none names no row.
    uuid = Uuid;
    /// Rows whose column has this number; what is none names no row.
    int = Int;
    /// Rows whose column has this number or a greater one.
    at_least = AtLeast;
    /// Rows whose column is true, or is not.
    flag = Flag;
    /// Rows whose column has this time or a later one.
    since = Since;
    /// Rows whose column has this time or an earlier one.
    before = Before;
}

/// Rows in whose column this regular expression is found.
#[must_use]
pub const fn matching(name: &'static str, column: &'static str) -> Filter {
    matching_value(name, SortKey::text(column))
}

/// The same for a column of another kind, of which numbers are held against the expression as their digits and times as
/// `2026-01-31 12:00:00`.
#[must_use]
pub const fn matching_value(name: &'static str, column: SortKey) -> Filter {
    Filter::new(name, FilterKind::Matching(column))
}

/// A regular expression that is held against what every row has here: it finds everything or nothing.
#[must_use]
pub const fn matching_constant(name: &'static str, text: &'static str) -> Filter {
    Filter::new(name, FilterKind::MatchingConstant(text))
}

/// A parameter that the handler reads itself.
#[must_use]
pub const fn own(name: &'static str) -> Filter {
    Filter::new(name, FilterKind::Own)
}

/// A parameter for what no row has here: a value finds nothing, the empty text everything.
#[must_use]
pub const fn absent(name: &'static str) -> Filter {
    Filter::new(name, FilterKind::Absent)
}

impl Filter {
    const fn new(name: &'static str, kind: FilterKind) -> Self {
        let regex = matches!(kind, FilterKind::Matching(_) | FilterKind::MatchingConstant(_));
        Self { rule: field(name), kind, for_others: 0, regex }
    }

    /// Others than administrators may use it from this minor version on.
    #[must_use]
    pub const fn for_others_since(mut self, minor: u16) -> Self {
        self.for_others = minor;
        self
    }

    /// Only administrators may use it.
    #[must_use]
    pub const fn for_admins(self) -> Self {
        self.for_others_since(u16::MAX)
    }

    /// The empty text is refused: it is no regular expression.
    #[must_use]
    pub const fn regex(mut self) -> Self {
        self.regex = true;
        self
    }

    /// It came with this minor version.
    #[must_use]
    pub const fn since(mut self, minor: u16) -> Self {
        self.rule = self.rule.since(minor);
        self
    }

    /// It was last there in this minor version.
    #[must_use]
    pub const fn until(mut self, minor: u16) -> Self {
        self.rule = self.rule.until(minor);
        self
    }

    /// It may be given only once, where the query is checked.
    #[must_use]
    pub const fn once(mut self) -> Self {
        self.rule = self.rule.once();
        self
    }

    /// Its name and its column, if it compares text.
    #[must_use]
    pub const fn text_column(&self) -> Option<(&'static str, &'static str)> {
        match self.kind {
            FilterKind::Text(column) => Some((self.rule.name, column)),
            _ => None,
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(&self) -> &'static str {
        self.rule.name
    }

    /// Narrows `list` down.
    fn narrow<R: FromRow>(&self, list: List<R>, value: &str) -> Result<List<R>, ApiError> {
        let name = self.rule.name;
        let condition = match self.kind {
            FilterKind::Own => return Ok(list),
            FilterKind::Absent if value.is_empty() => return Ok(list),
            FilterKind::Absent => nothing(),
            FilterKind::Text(column) => Condition::equal(column, value),
            FilterKind::Uuid(column) => Condition::is_in(column, Uuid::try_parse(value).ok()),
            FilterKind::Int(column) => Condition::is_in(column, value.parse::<i64>().ok()),
            FilterKind::AtLeast(column) => Condition::at_least(column, &number(name, value)?),
            FilterKind::Flag(column) => Condition::equal(column, &boolean(name, value)?),
            FilterKind::Matching(column) => return Ok(list.matching(column, expression(name, value)?)),
            FilterKind::MatchingConstant(text) if expression(name, value)?.is_match(text) => return Ok(list),
            FilterKind::MatchingConstant(_) => nothing(),
            FilterKind::Since(column) => Condition::at_least(column, &time(name, value)?),
            FilterKind::Before(column) => Condition::at_most(column, &time(name, value)?),
        };
        Ok(list.filter(condition))
    }
}

/// A word that a list can be sorted by.
#[derive(Clone, Copy, Debug)]
pub struct Sort {
    rule: FieldRule,
    key: Option<SortKey>,
}

/// `sort_key=name` sorts by this column.
#[must_use]
pub const fn sort(name: &'static str, key: SortKey) -> Sort {
    Sort { rule: field(name), key: Some(key) }
}

/// `sort_key=name` is taken and changes nothing: all rows have the same value of it here.
#[must_use]
pub const fn sort_ignored(name: &'static str) -> Sort {
    Sort { rule: field(name), key: None }
}

impl Sort {
    /// It came with this minor version.
    #[must_use]
    pub const fn since(mut self, minor: u16) -> Self {
        self.rule = self.rule.since(minor);
        self
    }

    /// It was last there in this minor version.
    #[must_use]
    pub const fn until(mut self, minor: u16) -> Self {
        self.rule = self.rule.until(minor);
        self
    }
}

impl ListDescription {
    /// The parameters that it knows.
    pub(crate) fn parameters(&self) -> Vec<FieldRule> {
        let mut rules: Vec<FieldRule> = self.filters.iter().map(|filter| filter.rule).collect();
        rules.extend(self.paging);
        if !self.sort_keys.is_empty() {
            rules.extend([field("sort_key"), field("sort_dir")]);
        }
        rules
    }

    /// The order that the query asks for.
    ///
    /// # Errors
    /// 400 for a word that the list can't be sorted by, or no direction.
    fn order(&self, query: &Parameters, version: Microversion) -> Result<Vec<(SortKey, Direction)>, ApiError> {
        if self.sort_keys.is_empty() || query.get("sort_key").is_none() && query.get("sort_dir").is_none() {
            return Ok(self.default_sort.to_vec());
        }
        let directions: Vec<Direction> = query.all("sort_dir").map(direction).collect::<Result<_, _>>()?;
        let words: Vec<&str> = query.all("sort_key").collect();
        if words.is_empty() {
            let given = |(key, _): &(SortKey, _)| (*key, directions[0]);
            return Ok(self.default_sort.iter().map(given).collect());
        }
        if directions.len() > words.len() {
            return Err(ApiError::bad_request("Sort direction array size exceeds sort key array size."));
        }
        let default = self.default_sort.first().map_or_else(Direction::default, |(_, direction)| *direction);
        let mut order = Vec::new();
        for (index, word) in words.into_iter().enumerate() {
            let known =
                self.sort_keys.iter().find(|sort| sort.rule.name == word && sort.rule.versions.includes(version));
            let known = known.ok_or_else(|| {
                ApiError::bad_request(format!("Invalid input for query parameters sort_key. Value: {word}."))
            })?;
            // The first direction is that of all keys without their own.
            let direction = directions.get(index).or(directions.first()).copied().unwrap_or(default);
            order.extend(known.key.map(|key| (key, direction)));
        }
        Ok(order)
    }
}

/// A list that a request asks for. What else narrows it down is the handler's to add.
#[must_use]
pub struct Listing<R> {
    list: List<R>,
    page: Page,
    paged: bool,
    no_marker: fn(&str) -> String,
}

/// A page of a list.
#[derive(Clone, Debug)]
pub struct Rows<R> {
    /// The rows, in order.
    pub items: Vec<R>,
    page: Page,
    paged: bool,
}

impl<S> Request<S> {
    /// The rows of a table, as the query asks for them.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn list<T: Table>(&self, description: &ListDescription) -> Result<Listing<T>, ApiError> {
        self.listing(List::all(), description)
    }

    /// The same for other columns of a table, or of several.
    ///
    /// # Errors
    /// 400 that names the parameter.
    pub fn listing<R: FromRow>(
        &self,
        mut list: List<R>,
        description: &ListDescription,
    ) -> Result<Listing<R>, ApiError> {
        for filter in description.filters.iter().filter(|filter| self.has(&filter.rule)) {
            let name = filter.rule.name;
            if filter.regex && self.query.all(name).any(str::is_empty) {
                return Err(ApiError::bad_request(format!(
                    "Invalid input for query parameters {name}. Value: . '' is not a 'regex'"
                )));
            }
            if let Some(value) = self.filter_value(description, name) {
                list = filter.narrow(list, value)?;
            }
        }
        for (key, direction) in description.order(&self.query, self.version)? {
            list = list.sort(key, direction);
        }
        let paged = description.paging.iter().any(|rule| self.has(rule));
        let none = Parameters::default();
        let page = Page::from_query(if paged { &self.query } else { &none }, self.config.max_limit)?;
        if let Some(key) = (description.marker)(self.version) {
            list = list.named_by(key);
        }
        let list = list.marker_text(page.marker.as_deref()).limit(page.limit);
        Ok(Listing { list, page, paged, no_marker: description.no_marker })
    }

    /// The link to the page after this one, in Nova's and Neutron's form. `key` is what a marker names a row by.
    pub fn next_link<R>(&self, rows: &Rows<R>, collection: &str, key: impl Fn(&R) -> String) -> Option<NextLink> {
        let last = rows.items.last().map(key);
        let next = rows.page.next_link(&self.query, &self.links, collection, rows.items.len(), last.as_deref());
        next.filter(|_| rows.paged)
    }

    /// A filter's value, if this version has the filter and this caller may use it.
    #[must_use]
    pub fn filter_value(&self, description: &ListDescription, name: &str) -> Option<&str> {
        let usable = |filter: &&Filter| {
            let counts = self.context.is_admin || self.version.at_least(filter.for_others);
            filter.rule.name == name && self.has(&filter.rule) && counts
        };
        description.filters.iter().find(usable)?;
        self.query.get(name)
    }

    fn has(&self, rule: &FieldRule) -> bool {
        rule.versions.includes(self.version)
    }
}

impl<R: FromRow> Listing<R> {
    /// Only rows that fulfil this, the marker's too: what the caller may see at all.
    pub fn visible(mut self, condition: Condition) -> Self {
        self.list = self.list.visible(condition);
        self
    }

    /// Only rows that fulfil this; the marker's need not.
    pub fn filter(mut self, condition: Condition) -> Self {
        self.list = self.list.filter(condition);
        self
    }

    /// Only rows that fulfil this condition, if there is one.
    pub fn filter_by(self, condition: Option<Condition>) -> Self {
        match condition {
            Some(condition) => self.filter(condition),
            None => self,
        }
    }

    /// Without the first so many, for lists that page by number.
    pub fn offset(mut self, offset: i64) -> Self {
        self.list = self.list.offset(offset);
        self
    }

    /// Reads the page.
    ///
    /// # Errors
    /// 400 for a marker that names nothing that the caller may see; 503 if the database can't be read.
    pub async fn page(self, connection: &mut Connection) -> Result<Rows<R>, ApiError> {
        self.page_or(connection, ApiError::bad_request).await
    }

    /// The same with another error for a marker that names nothing.
    ///
    /// # Errors
    /// As said.
    pub async fn page_or(
        self,
        connection: &mut Connection,
        error: impl FnOnce(String) -> ApiError,
    ) -> Result<Rows<R>, ApiError> {
        let Self { list, page, paged, no_marker } = self;
        match list.page(connection).await? {
            Some(items) => Ok(Rows { items, page, paged }),
            None => Err(error(no_marker(page.marker.as_deref().unwrap_or_default()))),
        }
    }
}

/// A condition that no row fulfils.
#[must_use]
pub fn nothing() -> Condition {
    Condition::raw(Sql::new("1 = 0"))
}

fn number(name: &str, text: &str) -> Result<i64, ApiError> {
    text.parse().map_err(|_| ApiError::bad_request(format!("Invalid {name} filter [{text}]")))
}

fn boolean(name: &str, text: &str) -> Result<bool, ApiError> {
    truth(text).ok_or_else(|| {
        ApiError::bad_request(format!("Invalid value '{text}' for the query parameter {name}: true or false."))
    })
}

fn time(name: &str, text: &str) -> Result<Timestamp, ApiError> {
    times::parse(text).ok_or_else(|| {
        ApiError::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. It must be a time such as 2026-01-31T12:00:00Z."
        ))
    })
}

fn direction(text: &str) -> Result<Direction, ApiError> {
    match text {
        "asc" => Ok(Direction::Ascending),
        "desc" => Ok(Direction::Descending),
        other => Err(ApiError::bad_request(format!(
            "Invalid input for query parameters sort_dir. Value: {other}. It must be asc or desc."
        ))),
    }
}

/// A filter's regular expression.
fn expression(name: &str, text: &str) -> Result<Expression, ApiError> {
    Expression::parse(text).map_err(|error| {
        ApiError::bad_request(format!(
            "Invalid input for query parameters {name}. Value: {text}. '{text}' is not a 'regex' that is served: {error}."
        ))
    })
}
