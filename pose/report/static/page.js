"use strict";
// The skeleton in 3D: a frame's joints and limbs on a floor, with a mark at the stature. In metres, y up.
(() => {
  const scene = JSON.parse(document.getElementById("scene").textContent);
  const canvas = document.getElementById("viewer");
  const label = document.getElementById("label");
  const showing = document.getElementById("showing");
  const TURN = Math.PI / 18;
  const ZOOM = 1.2;
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const colour = (name) =>
    new THREE.Color(getComputedStyle(document.documentElement).getPropertyValue(`--${name}`).trim());

  let renderer;
  try {
    renderer = new THREE.WebGLRenderer({ canvas, antialias: true, alpha: true });
  } catch {
    showing.textContent = scene.texts.missing;
    canvas.hidden = true;
    return;
  }
  renderer.setPixelRatio(Math.min(devicePixelRatio, 2));

  const world = new THREE.Scene();
  const camera = new THREE.PerspectiveCamera(40, 1, 0.01, 50);
  const controls = new THREE.OrbitControls(camera, canvas);
  controls.minDistance = 0.2;
  controls.maxDistance = 10;
  controls.maxPolarAngle = 0.98 * Math.PI;
  const stage = new THREE.Group();
  world.add(new THREE.HemisphereLight(0xffffff, 0x888888, 3), stage);

  let shown = scene.first;
  let mark = null; // the end of the mark where its label stands

  const vector = (joint) => new THREE.Vector3(joint[0], joint[1], joint[2]);

  function sideOf(joint) {
    if (scene.left.includes(joint)) return "left";
    return scene.right.includes(joint) ? "right" : "middle";
  }

  function addLimb(from, to, material) {
    const along = new THREE.Vector3().subVectors(to, from);
    const limb = new THREE.Mesh(new THREE.CylinderGeometry(0.008, 0.008, along.length(), 8), material);
    limb.position.addVectors(from, to).multiplyScalar(0.5);
    limb.quaternion.setFromUnitVectors(new THREE.Vector3(0, 1, 0), along.normalize());
    stage.add(limb);
  }

  function addLine(points, material) {
    stage.add(new THREE.Line(new THREE.BufferGeometry().setFromPoints(points), material));
  }

  // A ruler beside the child: lines at the ends of the interval and a thick one at the value.
  function addMark(centre, across) {
    const frame = scene.frames[shown];
    const top = frame.top === null ? null : { value: frame.top, low: frame.top, high: frame.top };
    const found = scene.stature ?? top;
    mark = null;
    label.hidden = found === null;
    if (found === null) return;
    const material = new THREE.LineBasicMaterial({ color: colour("stature") });
    const at = (x, y) => new THREE.Vector3(centre.x, y, centre.z).addScaledVector(across, x);
    addLine([at(0.3, 0), at(0.3, found.high)], material);
    for (const y of [found.low, found.high]) addLine([at(0.25, y), at(0.35, y)], material);
    for (let y = 0.1; y < found.low; y += 0.1) addLine([at(0.285, y), at(0.315, y)], material);
    const bar = new THREE.MeshBasicMaterial({ color: colour("stature"), transparent: true, opacity: 0.6 });
    addLimb(at(-0.3, found.value), at(0.3, found.value), bar);
    mark = at(0.36, found.value);
    label.textContent = `${(100 * found.value).toFixed(1)} cm`;
  }

  function build() {
    stage.traverse((each) => { each.geometry?.dispose(); each.material?.dispose(); });
    stage.clear();
    const joints = scene.frames[shown].joints;
    const points = joints.map(vector);
    const centre = new THREE.Vector3();
    for (const point of points) centre.addScaledVector(point, 1 / points.length);
    const floor = new THREE.GridHelper(2, 20, colour("faint"), colour("line"));
    floor.position.set(centre.x, 0, centre.z);
    stage.add(floor);
    const materials = {};
    for (const side of ["left", "right", "middle"]) {
      materials[side] = new THREE.MeshLambertMaterial({ color: colour(side) });
      const pale = { color: colour(side), transparent: true, opacity: 0.35 };
      materials[`${side} guess`] = new THREE.MeshLambertMaterial(pale);
    }
    points.forEach((point, index) => {
      const seen = joints[index][3];
      const ball = new THREE.SphereGeometry(seen ? 0.018 : 0.01, 16, 12);
      const joint = new THREE.Mesh(ball, materials[sideOf(index) + (seen ? "" : " guess")]);
      joint.position.copy(point);
      stage.add(joint);
    });
    for (const [from, to] of scene.limbs) {
      const side = sideOf(from) === sideOf(to) ? sideOf(from) : "middle";
      if (points[from].distanceTo(points[to]) < 1e-6) continue;
      addLimb(points[from], points[to], materials[side + (joints[from][3] && joints[to][3] ? "" : " guess")]);
    }
    addMark(centre, acrossOf(points));
    return points;
  }

  // The horizontal direction from the right shoulder to the left one.
  function acrossOf(points) {
    const across = new THREE.Vector3().subVectors(points[5], points[6]).setY(0);
    return across.length() < 0.02 ? across.set(1, 0, 0) : across.normalize();
  }

  // Look at the front of the body: it faces across the line of its shoulders.
  function look(points) {
    const lowest = new THREE.Vector3(Infinity, Infinity, Infinity), highest = lowest.clone().negate();
    for (const point of points) { lowest.min(point); highest.max(point); }
    const size = Math.max(highest.distanceTo(lowest), 0.3);
    const across = acrossOf(points);
    const front = new THREE.Vector3(-across.z, 0, across.x);
    front.add(new THREE.Vector3(0, highest.y - lowest.y < 0.5 * size ? 1.2 : 0.25, 0)).normalize();
    controls.target.addVectors(lowest, highest).multiplyScalar(0.5);
    camera.position.copy(controls.target).addScaledVector(front, 2 * size);
    controls.update();
  }

  let asked = false;
  function draw() {
    if (asked) return;
    asked = true;
    requestAnimationFrame(() => {
      asked = false;
      renderer.render(world, camera);
      if (mark !== null) {
        const place = mark.clone().project(camera);
        label.hidden = Math.abs(place.x) > 1 || Math.abs(place.y) > 1 || place.z > 1;
        const x = Math.min((place.x + 1) * canvas.clientWidth / 2, canvas.clientWidth - label.offsetWidth);
        const y = (1 - place.y) * canvas.clientHeight / 2;
        label.style.transform = `translate(${x}px, calc(${y}px - 50%))`;
      }
    });
  }

  function move(name) {
    if (name === "left") controls.rotateLeft(TURN);
    if (name === "right") controls.rotateLeft(-TURN);
    if (name === "up") controls.rotateUp(TURN);
    if (name === "down") controls.rotateUp(-TURN);
    if (name === "in") controls.dollyIn(ZOOM);
    if (name === "out") controls.dollyOut(ZOOM);
    if (name === "reset") look(scene.frames[shown].joints.map(vector));
    draw();
  }

  function fillTable() {
    const rows = document.querySelectorAll("#joints tbody tr");
    scene.frames[shown].joints.forEach((joint, index) => {
      const cells = rows[index].querySelectorAll("td");
      for (let axis = 0; axis < 3; axis += 1) cells[axis].textContent = joint[axis].toFixed(3);
      cells[3].textContent = joint[3] ? cells[3].dataset.yes : cells[3].dataset.no;
    });
  }

  function show(order) {
    shown = order;
    look(build());
    fillTable();
    showing.textContent = scene.texts.showing.replace("%s", order);
    for (const button of document.querySelectorAll("[data-frame]")) {
      button.setAttribute("aria-pressed", String(button.dataset.frame === String(order)));
    }
    draw();
  }

  const KEYS = {
    ArrowLeft: "left", ArrowRight: "right", ArrowUp: "up", ArrowDown: "down",
    "+": "in", "=": "in", "-": "out", "0": "reset", Home: "reset",
  };
  canvas.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.altKey || event.metaKey || !(event.key in KEYS)) return;
    event.preventDefault();
    move(KEYS[event.key]);
  });
  for (const button of document.querySelectorAll("[data-move]")) {
    button.addEventListener("click", () => move(button.dataset.move));
  }
  for (const button of document.querySelectorAll("[data-frame]")) {
    button.addEventListener("click", () => {
      show(button.dataset.frame);
      canvas.scrollIntoView({ block: "nearest" });
    });
  }
  controls.addEventListener("change", draw);
  dark.addEventListener("change", () => { build(); draw(); });
  new ResizeObserver(() => {
    renderer.setSize(canvas.clientWidth, canvas.clientHeight, false);
    camera.aspect = canvas.clientWidth / Math.max(canvas.clientHeight, 1);
    camera.updateProjectionMatrix();
    draw();
  }).observe(canvas.parentElement);
  show(String(shown));
})();
