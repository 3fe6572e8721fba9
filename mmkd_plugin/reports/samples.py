"""From MMDetection's data sets and samples to what COCO's files hold."""


def read_truth(dataset, classes, indices=None):
    """The annotations of a data set.

    Args:
        dataset (Dataset): A detection data set of MMDetection.
        classes (Sequence[str]): Its class names.
        indices (Sequence[int], optional): Of the images to read; None: all.

    Returns:
        dict: Like the content of a COCO file, but `category_id` is the label,
        and images have `path` instead of `file_name`.
    """
    images, annotations = [], []
    for index in range(len(dataset)) if indices is None else indices:
        info = dataset.get_data_info(index)
        images.append(dict(id=info['img_id'], path=info['img_path']))
        for item in info['instances']:
            left, top, right, bottom = item['bbox']
            box = [left, top, right - left, bottom - top]
            annotations.append(
                dict(
                    id=len(annotations) + 1,
                    image_id=info['img_id'],
                    category_id=item['bbox_label'],
                    bbox=box,
                    area=box[2] * box[3],
                    iscrowd=item.get('ignore_flag', 0),
                )
            )
    categories = [dict(id=i, name=name) for i, name in enumerate(classes)]
    return dict(images=images, annotations=annotations, categories=categories)


def read_detections(sample):
    """The detections in one image.

    Args:
        sample (DetDataSample): With ``pred_instances``.

    Returns:
        list[dict]: In COCO's format, but `category_id` is the label.
    """
    objects = sample.pred_instances.cpu()
    boxes = objects.bboxes.clone()
    boxes[:, 2:] -= boxes[:, :2]
    return [
        dict(image_id=sample.img_id, category_id=label, bbox=box, score=score)
        for label, box, score in zip(
            objects.labels.tolist(), boxes.tolist(), objects.scores.tolist()
        )
    ]
