export default function ({ parentElement, data, setTriggerValue }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => root.replaceChildren(gapList(data.title, data.gaps, (show) => setTriggerValue("show", show))));
}
