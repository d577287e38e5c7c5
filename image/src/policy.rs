//! Who may do what in the Image API: the rules under Glance's names.

use novella_rest::{policy::Who, rules};

rules! {
    GET_IMAGES = "get_images", Who::Anyone, "List images.";
    GET_IMAGE = "get_image", Who::Anyone, "Show an image.";
    DOWNLOAD_IMAGE = "download_image", Who::Anyone, "Read the bytes of an image.";
}
