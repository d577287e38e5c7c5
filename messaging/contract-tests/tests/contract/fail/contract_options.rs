use novella_messaging::contract;

#[contract(version = "1.0")]
trait NoTopic {}

#[contract(topic = "t")]
trait NoVersion {}

#[contract(topic = "t", version = "1")]
trait HalfAVersion {}

#[contract(topic = "t", version = "1.0", server = "host-1")]
trait UnknownOption {}

#[contract(topic = "t", version = "1.0")]
trait Generic<T> {}

#[contract(topic = "t", version = "1.0")]
trait MoreThanMethods {
    const LIMIT: u8;
}

#[contract(topic = "t", version = "1.0")]
struct NoTrait;

fn main() {}
