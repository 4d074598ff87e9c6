// The texts whose contrast with what is behind them is less than WCAG 2.1 AA asks for (1.4.3).
const canvas = new OffscreenCanvas(1, 1).getContext("2d", { willReadFrequently: true });

function parsed(color) {
  canvas.clearRect(0, 0, 1, 1);
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  const [red, green, blue, alpha] = canvas.getImageData(0, 0, 1, 1).data;
  return { rgb: [red, green, blue], alpha: alpha / 255 };
}

function over(above, below) {
  return above.rgb.map((value, at) => value * above.alpha + below[at] * (1 - above.alpha));
}

function behind(element) {
  const layers = [];
  for (let node = element; node; node = node.parentElement) {
    const layer = parsed(getComputedStyle(node).backgroundColor);
    if (layer.alpha > 0) layers.push(layer);
    if (layer.alpha === 1) break;
  }
  return layers.reverse().reduce((below, layer) => over(layer, below), [255, 255, 255]);
}

function luminance(rgb) {
  const [red, green, blue] = rgb.map((value) => {
    const part = value / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  });
  return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
}

function contrast(element) {
  const ground = behind(element);
  const [high, low] = [luminance(over(parsed(getComputedStyle(element).color), ground)), luminance(ground)].sort((a, b) => b - a);
  return (high + 0.05) / (low + 0.05);
}

function wanted(element) {
  const style = getComputedStyle(element);
  const size = parseFloat(style.fontSize);
  return size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
}

const poor = [];
for (const element of document.body.querySelectorAll("*")) {
  const text = [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
  if (!text.length || !element.checkVisibility() || element.closest(".unseen")) continue;
  const found = contrast(element);
  if (found < wanted(element)) poor.push(`${found.toFixed(2)} ${text[0].textContent.trim().slice(0, 40)}`);
}
return poor;
