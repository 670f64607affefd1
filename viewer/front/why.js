export default function ({ parentElement, data }) {
  const root = parentElement.querySelector(".root");
  once(root, data, () => root.replaceChildren(gapList(data.title, data.gaps)));
}
