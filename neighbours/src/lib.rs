//! What Compute asks of the other components, answered: by a component of the same process, called directly, or by one
//! elsewhere over HTTP. And what they tell Compute. The one crate that knows both Compute's words and theirs.

mod dns_name;
mod images_elsewhere;
mod images_here;
mod networking_api_here;
mod networks_elsewhere;
mod networks_here;
mod projects;
mod servers_elsewhere;
mod servers_here;
mod service_elsewhere;

use dns_name::dns_name;
pub use images_elsewhere::ImagesElsewhere;
pub use images_here::ImagesHere;
pub use networking_api_here::NetworkingApiHere;
pub use networks_elsewhere::NetworksElsewhere;
pub use networks_here::NetworksHere;
pub use projects::{ProjectsElsewhere, ProjectsHere};
pub use servers_elsewhere::ServersElsewhere;
pub use servers_here::ServersHere;
