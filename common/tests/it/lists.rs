//! Lists of a table that is described here, as any crate describes its own: page by page they are what sorting all rows
//! in memory gives.

use std::cmp::Ordering;

use jiff::Timestamp;
use novella_common::{
    config::{DatabaseConfig, SecretUrl},
    db::{
        Connection, Database,
        list::{Condition, Direction, Expression, List, Pattern, SortKey},
        table::insert_into,
    },
    sql, table,
};
use proptest::{
    prelude::*,
    test_runner::{Config, TestRunner},
};
use uuid::Uuid;

#[derive(Clone, Debug, PartialEq)]
struct Thing {
    id: Uuid,
    number: i64,
    name: Option<String>,
    flag: bool,
    at: Option<Timestamp>,
    parent: Option<Uuid>,
    tags: Vec<String>,
}

table! {
    Thing in "things", key uuid "id";
    id,
    number = "how_many",
    name,
    flag,
    at,
    parent,
    tags as Json,
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum By {
    Id,
    Number,
    Name,
    Flag,
    At,
    Parent,
}

impl By {
    fn key(self) -> SortKey {
        match self {
            Self::Id => SortKey::uuid("id"),
            Self::Number => SortKey::int("how_many"),
            Self::Name => SortKey::text("name").nullable(),
            Self::Flag => SortKey::boolean("flag"),
            Self::At => SortKey::time("at").nullable(),
            Self::Parent => SortKey::uuid("parent").nullable(),
        }
    }

    fn compare(self, a: &Thing, b: &Thing) -> Ordering {
        match self {
            Self::Id => a.id.cmp(&b.id),
            Self::Number => a.number.cmp(&b.number),
            Self::Name => a.name.as_deref().unwrap_or("").cmp(b.name.as_deref().unwrap_or("")),
            Self::Flag => a.flag.cmp(&b.flag),
            Self::At => a.at.unwrap_or(Timestamp::UNIX_EPOCH).cmp(&b.at.unwrap_or(Timestamp::UNIX_EPOCH)),
            Self::Parent => a.parent.unwrap_or(Uuid::nil()).cmp(&b.parent.unwrap_or(Uuid::nil())),
        }
    }
}

fn thing() -> impl Strategy<Value = Thing> {
    // Few values, so that there are many ties; texts that languages sort otherwise than their bytes.
    let name = prop::option::of(prop::sample::select(vec!["", "a", "A", "B", "b", "aa", "ä", "z", "ß"]));
    let time = prop::option::of(prop::sample::select(vec![0, 1, 1_700_000_000_000_000, 1_700_000_000_000_001]));
    let parent = prop::option::of(0..3u128);
    (any::<u128>(), -1..2i64, name, any::<bool>(), time, parent).prop_map(|(id, number, name, flag, at, parent)| {
        Thing {
            id: Uuid::from_u128(id),
            number,
            name: name.map(str::to_owned),
            flag,
            at: at.map(|micros| Timestamp::from_microsecond(micros).unwrap()),
            parent: parent.map(Uuid::from_u128),
            tags: vec!["x".into()],
        }
    })
}

type Order = Vec<(By, bool)>;

fn order() -> impl Strategy<Value = Order> {
    let by = prop::sample::select(vec![By::Id, By::Number, By::Name, By::Flag, By::At, By::Parent]);
    prop::collection::vec((by, any::<bool>()), 0..4)
}

async fn open(url: &str) -> Database {
    let config = DatabaseConfig { url: SecretUrl::new(url), ..DatabaseConfig::default() };
    let database = Database::connect(&config).await.unwrap();
    let mut create = sql!("CREATE TABLE things (id ");
    create.push_for("TEXT", "uuid").push(" PRIMARY KEY, how_many BIGINT NOT NULL, name ");
    create.push_for("TEXT", "text COLLATE \"C\"").push(", flag ").push_for("BIGINT", "boolean").push(" NOT NULL, at ");
    create.push_for("BIGINT", "timestamptz").push(", parent ").push_for("TEXT", "uuid").push(", tags ");
    create.push_for("TEXT", "jsonb").push(" NOT NULL)");
    create.execute(&mut database.write().await.unwrap()).await.unwrap();
    database
}

async fn fill(connection: &mut Connection, things: &[Thing]) {
    sql!("DELETE FROM things").execute(connection).await.unwrap();
    if !things.is_empty() {
        insert_into(things).execute(connection).await.unwrap();
    }
}

fn list(order: &Order) -> List<Thing> {
    let direction = |descending| if descending { Direction::Descending } else { Direction::Ascending };
    order.iter().fold(List::all(), |list, (by, descending)| list.sort(by.key(), direction(*descending)))
}

async fn by_pages(connection: &mut Connection, order: &Order, visible: bool, size: i64) -> Vec<Thing> {
    let mut pages: Vec<Thing> = Vec::new();
    loop {
        let marker = pages.last().map(|thing| thing.id.to_string());
        let page = list(order)
            .visible(Condition::equal("flag", &visible))
            .marker_text(marker.as_deref())
            .limit(size)
            .page(connection)
            .await
            .unwrap()
            .unwrap();
        let full = page.len() == usize::try_from(size).unwrap();
        pages.extend(page);
        if !full {
            return pages;
        }
    }
}

fn in_memory(things: &[Thing], order: &Order, visible: bool) -> Vec<Thing> {
    let mut sorted: Vec<_> = things.iter().filter(|thing| thing.flag == visible).cloned().collect();
    let ties = order.last().is_some_and(|(_, descending)| *descending);
    sorted.sort_by(|a, b| {
        let directed = |ordering: Ordering, descending| if descending { ordering.reverse() } else { ordering };
        order
            .iter()
            .map(|(by, descending)| directed(by.compare(a, b), *descending))
            .find(|ordering| ordering.is_ne())
            .unwrap_or_else(|| directed(a.id.cmp(&b.id), ties))
    });
    sorted
}

async fn pages_together_are_what_sorting_in_memory_gives(database: Database) {
    let handle = tokio::runtime::Handle::current();
    tokio::task::spawn_blocking(move || {
        let cases = (prop::collection::vec(thing(), 0..30), order(), any::<bool>(), 1..8i64);
        let mut runner = TestRunner::new(Config { cases: 64, failure_persistence: None, ..Config::default() });
        runner
            .run(&cases, |(things, order, visible, size)| {
                let pages = handle.block_on(async {
                    let mut connection = database.write().await.unwrap();
                    fill(&mut connection, &things).await;
                    by_pages(&mut connection, &order, visible, size).await
                });
                prop_assert_eq!(pages, in_memory(&things, &order, visible));
                Ok(())
            })
            .unwrap();
    })
    .await
    .unwrap();
}

fn named(id: u128, name: Option<&str>) -> Thing {
    Thing {
        id: Uuid::from_u128(id),
        number: i64::try_from(id).unwrap(),
        name: name.map(str::to_owned),
        flag: id.is_multiple_of(2),
        at: None,
        parent: None,
        tags: Vec::new(),
    }
}

async fn a_marker_that_is_not_there_or_not_visible_is_no_marker(database: Database) {
    let mut connection = database.write().await.unwrap();
    let things = [named(1, None), named(2, None)];
    fill(&mut connection, &things).await;
    let visible = || List::<Thing>::all().visible(Condition::equal("flag", &true));
    for marker in [&things[0].id.to_string(), &Uuid::nil().to_string(), "no UUID", "\0"] {
        assert_eq!(visible().marker_text(Some(marker)).page(&mut connection).await.unwrap(), None, "{marker}");
    }
    // What is only filtered out is a marker all the same.
    let filtered = List::<Thing>::all().filter(Condition::equal("flag", &true)).marker(Some(&things[0].id));
    assert_eq!(filtered.page(&mut connection).await.unwrap(), Some(vec![things[1].clone()]));
}

async fn each_condition_lets_through_what_it_says(database: Database) {
    let mut connection = database.write().await.unwrap();
    let things = [named(1, Some("abc")), named(2, Some("ABC")), named(3, Some("ab%_é")), named(4, None)];
    fill(&mut connection, &things).await;
    let pattern = |pattern: Pattern| Condition::text("name", &pattern);
    for (condition, expected) in [
        (Condition::equal("name", "abc"), vec![1]),
        (Condition::is_in("how_many", [1, 3, 7]), vec![1, 3]),
        (Condition::is_in("how_many", Vec::<i64>::new()), vec![]),
        (Condition::at_least("how_many", &3), vec![3, 4]),
        (Condition::at_most("how_many", &2), vec![1, 2]),
        (Condition::is_null("name", true), vec![4]),
        (Condition::is_null("name", false), vec![1, 2, 3]),
        (pattern(Pattern::Contains("b".into())), vec![1, 3]),
        (pattern(Pattern::Contains("%_".into())), vec![3]),
        (pattern(Pattern::Contains(String::new())), vec![1, 2, 3]),
        (pattern(Pattern::Prefix("ab".into())), vec![1, 3]),
        (pattern(Pattern::Suffix("é".into())), vec![3]),
        (pattern(Pattern::Suffix("a longer one than any".into())), vec![]),
        (pattern(Pattern::Exact("ABC".into())), vec![2]),
        (Condition::raw(sql!("name = " ("abc") " OR flag")), vec![1, 2, 4]),
    ] {
        let text = format!("{condition:?}");
        let list = List::<Thing>::all().filter(condition).sort(SortKey::int("how_many"), Direction::Ascending);
        let found = list.clone().page(&mut connection).await.unwrap().unwrap();
        assert_eq!(found.iter().map(|thing| thing.number).collect::<Vec<_>>(), expected, "{text}");
        let count = list.limit(1).count(&mut connection).await.unwrap();
        assert_eq!(usize::try_from(count).unwrap(), expected.len(), "{text}");
    }
}

async fn an_expression_finds_the_same_on_every_page(database: Database) {
    let mut connection = database.write().await.unwrap();
    let things: Vec<Thing> =
        (1..=300).map(|id| named(id, Some(&format!("n-{id}")))).chain([named(301, None)]).collect();
    fill(&mut connection, &things).await;
    let expected: Vec<i64> = (1..=300).filter(|id| id % 7 == 0 && id.to_string().ends_with(['0', '5'])).collect();
    let list = || {
        List::<Thing>::all()
            .matching(SortKey::text("name").nullable(), Expression::parse("^n.[0-9]*[05]$").unwrap())
            .filter(Condition::raw(sql!("how_many % 7 = 0")))
            .sort(SortKey::boolean("flag"), Direction::Descending)
            .sort(SortKey::int("how_many"), Direction::Ascending)
    };
    for size in [1, 2, 5, 100] {
        let mut found: Vec<Thing> = Vec::new();
        loop {
            let marker = found.last().map(|thing| thing.id);
            let page = list().marker(marker.as_ref()).limit(size).page(&mut connection).await.unwrap().unwrap();
            let full = i64::try_from(page.len()).unwrap() == size;
            found.extend(page);
            if !full {
                break;
            }
        }
        let (even, odd): (Vec<i64>, Vec<i64>) = expected.iter().partition(|id| *id % 2 == 0);
        let numbers: Vec<i64> = found.iter().map(|thing| thing.number).collect();
        assert_eq!(numbers, [even, odd].concat(), "{size}");
    }
    assert_eq!(usize::try_from(list().count(&mut connection).await.unwrap()).unwrap(), expected.len());
    let second = list().offset(1).limit(1).page(&mut connection).await.unwrap().unwrap();
    assert_eq!(second[0].number, *expected.iter().filter(|id| *id % 2 == 0).nth(1).unwrap());
    let numbers = List::<Thing>::all().matching(SortKey::int("how_many"), Expression::parse("^30.$").unwrap());
    assert_eq!(numbers.count(&mut connection).await.unwrap(), 2);
}

async fn a_column_that_is_named_a_thousand_times_is_sorted_by_once(database: Database) {
    let mut connection = database.write().await.unwrap();
    let things: Vec<Thing> = (1..=7).map(|id| named(id, Some("same"))).collect();
    fill(&mut connection, &things).await;
    let order: Order = (0..500).flat_map(|_| [(By::Name, false), (By::Flag, true)]).collect();
    assert_eq!(by_pages(&mut connection, &order, false, 2).await, in_memory(&things, &order, false));
}

async fn columns_can_be_chosen(database: Database) {
    let mut connection = database.write().await.unwrap();
    fill(&mut connection, &[named(1, Some("a")), named(2, None)]).await;
    let list = List::<(Option<String>, i64)>::select("name, how_many", "things", SortKey::uuid("id"));
    let found = list.page(&mut connection).await.unwrap().unwrap();
    assert_eq!(found, [(Some("a".into()), 1), (None, 2)]);
}

/// Runs each behaviour on a database of its own.
macro_rules! behaviours {
    ($($behaviour:ident),* $(,)?) => {
        mod on_sqlite {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                let file = novella_testing::Database::sqlite();
                super::$behaviour(super::open(file.url()).await).await;
            })*
        }

        mod on_postgres {
            $(#[tokio::test(flavor = "multi_thread")]
            async fn $behaviour() {
                let server = novella_testing::Database::postgres().await;
                super::$behaviour(super::open(server.url()).await).await;
            })*
        }
    };
}

behaviours! {
    pages_together_are_what_sorting_in_memory_gives,
    a_marker_that_is_not_there_or_not_visible_is_no_marker,
    each_condition_lets_through_what_it_says,
    an_expression_finds_the_same_on_every_page,
    a_column_that_is_named_a_thousand_times_is_sorted_by_once,
    columns_can_be_chosen,
}
