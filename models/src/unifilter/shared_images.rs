//! The same image under several texts: decoded once, encoded once, scored as if it stood alone.

use anyhow::Result;

use super::*;

fn model() -> Result<UniFilter> {
    Ok(UniFilter::load(&Location::Embedded, DeviceChoice::Cpu, DtypeChoice::F32)?)
}

fn images() -> Result<[Vec<u8>; 2]> {
    Ok([std::fs::read("tests/golden/images/c02.png")?, std::fs::read("tests/golden/images/c03.png")?])
}

fn pair(model: &UniFilter, image: &[u8], text: &str) -> Result<Prepared> {
    Ok(model.prepare(&Sample::Pair { image, text }, &Limits::default())?)
}

#[test]
fn the_vision_tower_runs_once_an_image() -> Result<()> {
    let model = model()?;
    let [first, second] = images()?;
    let texts = ["a cat", "two boats on a lake at dawn, seen from the hill", "", "a dog in the snow"];
    let mut batch = Vec::new();
    for text in texts {
        batch.push(pair(&model, &first, text)?);
        batch.push(pair(&model, &second, text)?);
    }
    assert!(Arc::ptr_eq(&batch[0].images[0], &batch[6].images[0]));
    let together = model.score(&batch)?;
    assert_eq!(together.images_encoded, 2);
    let later = pair(&model, &first, "a caption that comes later")?;
    assert_eq!(model.score(&[later])?.images_encoded, 0);
    // A model that has never seen the images, one row at a time.
    for (sample, score) in batch.iter().zip(&together.scores) {
        let images = sample.images.iter().map(|image| Arc::new(PreparedImage::new(image.pixels().to_vec()))).collect();
        let alone = model.score(&[Prepared { images, ..sample.clone() }])?;
        assert_eq!(alone.images_encoded, 1);
        assert!((alone.scores[0] - score).abs() <= 1e-5, "{score} shared, {} alone", alone.scores[0]);
    }
    Ok(())
}

#[test]
fn a_document_shares_images_with_pairs_and_within_itself() -> Result<()> {
    let model = model()?;
    let [first, second] = images()?;
    let document = Sample::Document {
        images: vec![Some(&first), None, Some(&second), Some(&first)],
        texts: vec![None, Some("between"), None, None],
    };
    let document = model.prepare(&document, &Limits::default())?;
    let together = model.score(&[document.clone(), pair(&model, &first, "a cat")?])?;
    assert_eq!(together.images_encoded, 2);
    let fresh = self::model()?;
    let images = document.images.iter().map(|image| Arc::new(PreparedImage::new(image.pixels().to_vec()))).collect();
    let alone = fresh.score(&[Prepared { images, ..document }])?;
    assert_eq!(alone.images_encoded, 3);
    assert!((alone.scores[0] - together.scores[0]).abs() <= 1e-5);
    Ok(())
}

#[test]
fn an_image_beyond_a_smaller_limit_is_refused_though_it_is_kept() -> Result<()> {
    let model = model()?;
    let [image, _] = images()?;
    pair(&model, &image, "a cat")?;
    let limits = Limits { max_image_pixels: 10, ..Limits::default() };
    assert!(model.prepare(&Sample::Pair { image: &image, text: "a cat" }, &limits).is_err());
    Ok(())
}
