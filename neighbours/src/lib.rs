//! What Compute asks of the other components, answered: by a component of the same process, called directly, or by one
//! elsewhere over HTTP. The one crate that knows both Compute's words and theirs.

mod dns_name;
mod networking_api_here;
mod networks_here;

use dns_name::dns_name;
pub use networking_api_here::NetworkingApiHere;
pub use networks_here::NetworksHere;
